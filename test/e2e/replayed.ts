/** What the tests of replays compare with: every event that was sent, as canonical JSON, read by the proof's own plain reader. */
import assert from 'node:assert/strict'
import type { SimulatedRecord } from '../../src/simulate/events.ts'
import { readEvent } from '../../src/verify/event.ts'

/** By source and id. */
export type Events = Map<string, string>

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, one]) => [name, sorted(one)]),
  )
}

/** Null: no event. `replayid` is looked at and left out. */
export function canonical(
  value: Buffer | null,
  headers: Record<string, Buffer | string | undefined>,
  timestampMs: number,
  replayId?: string,
): readonly [key: string, event: string] | null {
  const event = readEvent(value, headers, timestampMs)
  if (event === null) return null
  const { replayid, ...extensions } = event.extensions
  assert.equal(replayid, replayId)
  // Bytes of a value that is JSON are its own writing, and no part of the event.
  const bytes = event.data === undefined ? (event.bytes?.toString('base64') ?? null) : null
  return [
    `${event.source} ${event.id}`,
    JSON.stringify(sorted({ ...event, data: event.data ?? null, bytes, extensions })),
  ]
}

export function note(into: Events, records: readonly SimulatedRecord[]): void {
  for (const { kind, value, headers, timestampMs } of records) {
    if (kind !== 'event') continue
    const bytes = value === null ? null : Buffer.from(value as string)
    const found = canonical(bytes, headers as Record<string, Buffer>, timestampMs)
    assert(found !== null)
    into.set(...found)
  }
}

/** All of them, each once, none else. In the order of their times, except from a log, where each partition has its own. */
export function compare(
  entries: Iterable<string | Buffer>,
  expected: Events,
  replayId: string,
  { inOrder = false } = {},
): void {
  const left = new Set(expected.keys())
  let last = 0
  let count = 0
  for (const entry of entries) {
    count++
    const found = canonical(Buffer.from(entry as string), {}, Number.NaN, replayId)
    assert(found !== null, `no event: ${entry}`)
    const [key, event] = found
    assert.equal(event, expected.get(key), key)
    assert(left.delete(key), `twice: ${key}`)
    const { timeMs } = JSON.parse(event) as { timeMs: number }
    assert(!inOrder || timeMs >= last, `${key} goes back in time`)
    last = timeMs
  }
  assert.equal(left.size, 0, `${left.size} of ${expected.size} are missing, say ${[...left].slice(0, 3).join(', ')}`)
  assert.equal(count, expected.size)
}
