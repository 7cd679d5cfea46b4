/**
 * The events of a partition's record batches, piece by piece: so many bytes at a time as all partitions together can be given, however large a batch or
 * however many the partitions are. A batch stays packed until it is its turn; one that is too large to lie about unpacked is unpacked again for each piece.
 */
import { ByteWriter } from '../core/bytes.ts'
import { EventView } from '../core/event.ts'
import { eventId } from '../core/identity.ts'
import { type RecordRun, RecordView, unpackRun } from '../core/record.ts'
import type { Feed } from '../records/feed.ts'
import { markedEntry, PlacedEvent, replayIdMember, timeText } from './entry.ts'
import type { Judged } from './judge.ts'
import type { KafkaSourceOptions } from './kafka-source.ts'
import type { KafkaRange } from './plan.ts'
import { type Facts, matcher } from './selection.ts'

export interface Candidate extends Judged {
  readonly event: PlacedEvent
}

/** Where much is passed over, somebody may want to see it move. */
const pieceRecords = 2000

export class RunReader {
  nextOffset: number
  readonly #feed: Feed<RecordRun>
  readonly #range: KafkaRange
  readonly #decoder: RunDecoder
  readonly #view = new RecordView()
  /** Of the run at the head of the feed. */
  #done = 0
  #isOpen = false

  constructor(feed: Feed<RecordRun>, range: KafkaRange, decoder: RunDecoder) {
    this.#feed = feed
    this.#range = range
    this.#decoder = decoder
    this.nextOffset = range.from
  }

  /** What is wanted of the next piece, and that may be nothing; null: the end. */
  async next(): Promise<Candidate[] | null> {
    const feed = this.#feed
    if (feed.empty) await feed.ready()
    const run = feed.head()
    if (run === undefined || this.nextOffset >= this.#range.to) return null
    if (!this.#isOpen) this.#open(run)
    const left = this.#decoder.piece(this, this.#view, run.count - this.#done, this.#range)
    this.#done = run.count - left
    if (left === 0) {
      feed.take()
      this.#done = 0
      this.nextOffset = Math.min(this.#range.to, Math.max(this.nextOffset, run.lastOffset + 1))
    }
    if (left === 0 || this.#view.bytes.length > this.#decoder.keptBytesMax) this.#close()
    return this.#decoder.take(this.#range.partition)
  }

  #open({ bytes, ...run }: RecordRun): void {
    const packed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#view.open(unpackRun(run.codec, packed), run)
    for (let done = 0; done < this.#done; done++) this.#view.next()
    this.#isOpen = true
  }

  #close(): void {
    this.#view.bytes = nothing
    this.#isOpen = false
  }
}

const nothing = Buffer.alloc(0)

/** Shared by the partitions of a replay, for one is at work at a time. */
export class RunDecoder {
  /** A batch that takes more is not kept unpacked. */
  readonly keptBytesMax: number
  readonly #pieceBytes: number
  readonly #options: KafkaSourceOptions
  readonly #event = new EventView()
  readonly #written = new ByteWriter(0)
  readonly #fits: (event: Facts) => boolean
  readonly #keys: ReadonlySet<string> | null
  readonly #mark: Buffer
  readonly #found: Found[] = []

  constructor(options: KafkaSourceOptions, pieceBytes: number) {
    const { select, id } = options.description
    this.#options = options
    this.#pieceBytes = pieceBytes
    this.keptBytesMax = 2 * pieceBytes
    this.#fits = matcher(select)
    this.#keys = select.keys.length === 0 ? null : new Set(select.keys)
    this.#mark = Buffer.from(`{"replayid":"${id}"`, 'latin1')
  }

  /** Goes on with `view` up to a full piece; answers how many of the `count` records are left. */
  piece(place: { nextOffset: number }, view: RecordView, count: number, { from, to }: KafkaRange): number {
    const { decoder, description, pastMs, futureMs, judges, once } = this.#options
    const { fromMs, toMs } = description
    const event = this.#event
    const written = this.#written
    let left = count
    for (let looked = 0; left > 0 && looked < pieceRecords && written.length < this.#pieceBytes; looked++) {
      view.next()
      left--
      const { offset, timestampMs } = view
      if (offset < from) continue
      if (offset >= to) {
        place.nextOffset = to
        return 0
      }
      place.nextOffset = offset + 1
      if (decoder.decode(view, event) !== null) continue
      const micros = event.timeMicros
      const ms = Math.floor(micros / 1000)
      if (!(micros >= 0 && ms >= timestampMs - pastMs && ms <= timestampMs + futureMs)) continue
      if ((fromMs !== null && ms < fromMs) || (toMs !== null && ms >= toMs)) continue
      if (this.#keys !== null && !this.#hasKey(view)) continue
      if (!this.#fits(event as Facts)) continue
      const start = written.length
      this.#write()
      const id = judges.length > 0 || once ? eventId(ms, event.source, event.id) : ''
      // Only a judge wants these.
      const data =
        judges.length === 0 || event.dataStart < 0 ? null : event.bytes.toString('utf8', event.dataStart, event.dataEnd)
      this.#found.push({ micros, offset, start, end: written.length, id, data })
    }
    return left
  }

  /** What the pieces since the last call held, in memory of its own. */
  take(partition: number): Candidate[] {
    const slab = this.#written.take(0)
    return this.#found.splice(0).map(({ micros, offset, start, end, id, data }) => ({
      event: new PlacedEvent(micros, partition, offset, slab, start, end, id),
      id,
      data,
    }))
  }

  #hasKey({ bytes, keyStart, keyEnd }: RecordView): boolean {
    return keyStart >= 0 && this.#keys?.has(bytes.toString('utf8', keyStart, keyEnd)) === true
  }

  /** The entry, with the mark in front. */
  #write(): void {
    const event = this.#event
    const written = this.#written
    const begins = event.entryStart < 0 || event.bytes[event.entryStart] === 0x7b
    if (begins && event.extensions?.includes(replayIdMember) !== true) {
      written.write(this.#mark, 0, this.#mark.length)
      if (!event.timed) {
        const time = Buffer.from(`,"time":"${timeText(event.timeMicros)}"`)
        written.write(time, 0, time.length)
      }
      written.byte(0x2c)
      event.writeEntry(written, 1)
      return
    }
    // Rare: space before it, or the mark of another replay in it.
    const start = written.length
    event.writeEntry(written)
    const micros = event.timed ? null : event.timeMicros
    const entry = markedEntry(written.take(start), this.#options.description.id, micros)
    written.write(entry, 0, entry.length)
  }
}

interface Found {
  readonly micros: number
  readonly offset: number
  readonly start: number
  readonly end: number
  readonly id: string
  readonly data: string | null
}
