/**
 * One event as a decoder found it: positions in the packed bytes wherever the producer's own bytes can be copied, buffers of our own where they
 * cannot (JSON escapes, attributes from headers that need an envelope). Reused for every record of a batch: no object per event is kept.
 */
import { ByteWriter } from './bytes.ts'
import { Known } from './known.ts'

export const SOURCE = 0
export const ID = 1
export const TYPE = 2
export const SUBJECT = 3
export const TENANT = 4
export const attributeCount = 5

const texts = new Known((text) => text)

export class EventView {
  bytes: Buffer = Buffer.alloc(0)
  /** Start and end per attribute; a start of -1 means absent, or held in `own`. */
  readonly at = new Int32Array(attributeCount * 2)
  readonly own: (Buffer | null)[] = new Array(attributeCount).fill(null)
  timeMicros = 0
  /** False where the time is the record's, for want of one of the event's own. */
  timed = false
  /** Read as structured mode although no header said so. */
  unlabelled = false
  /** `data` as JSON text; -1 where the event has none. */
  dataStart = -1
  dataEnd = -1
  /** Data that is no JSON, byte for byte; null where the event has none. */
  dataBytes: Buffer | null = null
  /** Every other attribute as a JSON object, or null. */
  extensions: Buffer | null = null
  /** The event as structured JSON is this range of `bytes`; -1: it is an envelope of our own. */
  entryStart = -1
  entryEnd = -1
  /** The envelope as far as `data`. */
  readonly envelope = new ByteWriter(0)
  /** Routes and metrics both ask, for every event. Nobody asks before the decoder is done. */
  #type: string | null = null

  reset(bytes: Buffer): void {
    this.bytes = bytes
    this.at.fill(-1)
    for (let i = 0; i < attributeCount; i++) this.own[i] = null
    this.timed = false
    this.unlabelled = false
    this.dataStart = -1
    this.dataEnd = -1
    this.dataBytes = null
    this.extensions = null
    this.entryStart = -1
    this.entryEnd = -1
    this.envelope.length = 0
    this.#type = null
  }

  place(attribute: number, start: number, end: number): void {
    this.at[attribute * 2] = start
    this.at[attribute * 2 + 1] = end
  }

  has(attribute: number): boolean {
    return this.at[attribute * 2] !== -1 || this.own[attribute] !== null
  }

  /** Of an attribute's text; -1 when it is absent. */
  byteLength(attribute: number): number {
    const own = this.own[attribute]
    if (own !== null && own !== undefined) return own.length
    const start = this.at[attribute * 2] as number
    return start === -1 ? -1 : (this.at[attribute * 2 + 1] as number) - start
  }

  text(attribute: number): string | null {
    const own = this.own[attribute]
    if (own !== null && own !== undefined) return own.toString('utf8')
    const start = this.at[attribute * 2] as number
    return start === -1 ? null : this.bytes.toString('utf8', start, this.at[attribute * 2 + 1])
  }

  /** One of a few texts that are asked for with every event. */
  #recurring(attribute: number): string {
    const start = this.at[attribute * 2] as number
    if (start === -1) return this.text(attribute) ?? ''
    return texts.of(this.bytes, start, this.at[attribute * 2 + 1] as number)
  }

  raw(attribute: number): Buffer | null {
    const start = this.at[attribute * 2] as number
    if (start === -1) return this.own[attribute] ?? null
    return this.bytes.subarray(start, this.at[attribute * 2 + 1])
  }

  /** The event as structured JSON, but for so many bytes of its beginning. */
  writeEntry(into: ByteWriter, skip = 0): void {
    if (this.entryStart >= 0) {
      into.write(this.bytes, this.entryStart + skip, this.entryEnd)
      return
    }
    into.append(this.envelope, skip)
    if (this.dataStart >= 0) into.write(this.bytes, this.dataStart, this.dataEnd)
    into.byte(0x7d)
  }

  get source(): string {
    return this.#recurring(SOURCE)
  }
  get id(): string {
    return this.text(ID) ?? ''
  }
  get type(): string {
    this.#type ??= this.#recurring(TYPE)
    return this.#type
  }
  get subject(): string | null {
    return this.text(SUBJECT)
  }
  get tenant(): string | null {
    return this.text(TENANT)
  }
}

/** What a consumer file's route sees of an event. */
export type RoutedEvent = Pick<EventView, 'source' | 'id' | 'type' | 'subject' | 'tenant'>
