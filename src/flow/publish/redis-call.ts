/**
 * One call of the function in add.lua, put together as Redis reads it (RESP: the number of arguments, then each with its length). ioredis makes a
 * Buffer and some strings of every argument first, which was two thirds of what publishing cost the main thread.
 */
import { Command } from 'ioredis'

/** What goes to one stream. */
export interface StreamEntries {
  readonly key: string
  /** What the stream must hold already: the offset + 1 of its last entry. */
  readonly expected: number
  /** Offsets + 1, and where each entry lies: [start, end), one pair after the other. */
  readonly ids: readonly number[]
  readonly ranges: readonly number[]
}

/** More than what stands around an entry: two lengths and an id. */
const aroundEntry = 64

/** The call as bytes; `entries` holds the events of all streams. */
export function encodeCall(
  name: string,
  streamLengthMax: number,
  streams: readonly StreamEntries[],
  entries: Buffer,
): Buffer {
  let count = 4
  let size = 0
  for (const { ids, ranges } of streams) {
    count += 3 + 2 * ids.length
    for (let i = 0; i < ranges.length; i += 2) size += (ranges[i + 1] as number) - (ranges[i] as number) + aroundEntry
  }
  const keys = streams.map(({ key }) => argument(key)).join('')
  const head = `*${count}\r\n$5\r\nfcall\r\n${argument(name)}${argument(streams.length)}${keys}${argument(streamLengthMax)}`
  const heads = streams.map(({ expected, ids }) => argument(expected) + argument(ids.length))
  const wire = Buffer.allocUnsafe(Buffer.byteLength(head) + heads.reduce((sum, { length }) => sum + length, size))
  let at = wire.write(head)
  for (const [index, { ids, ranges }] of streams.entries()) {
    at += wire.write(heads[index] as string, at, 'latin1')
    for (let i = 0; i < ids.length; i++) {
      const start = ranges[2 * i] as number
      const end = ranges[2 * i + 1] as number
      const id = String(ids[i])
      at += wire.write(`$${id.length}\r\n${id}\r\n$${end - start}\r\n`, at, 'latin1')
      at += entries.copy(wire, at, start, end)
      wire[at++] = 0x0d
      wire[at++] = 0x0a
    }
  }
  return wire.subarray(0, at)
}

function argument(value: string | number): string {
  const text = String(value)
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`
}

/** The keys tell ioredis which node of a cluster it goes to. */
export class AddCall extends Command {
  readonly #wire: Buffer

  constructor(name: string, streams: readonly StreamEntries[], wire: Buffer) {
    super('fcall', [name, streams.length, ...streams.map(({ key }) => key)], { replyEncoding: 'utf8' })
    this.#wire = wire
  }

  override toWritable(): Buffer {
    return this.#wire
  }
}
