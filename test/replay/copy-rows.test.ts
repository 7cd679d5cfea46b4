import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CopyRows } from '../../src/replay/copy-rows.ts'
import type { ReplayEvent } from '../../src/replay/entry.ts'

const int64 = (value: bigint) => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const jsonb = (text: string) => Buffer.concat([Buffer.from([1]), Buffer.from(text)])
const row = (...fields: (Buffer | null)[]) =>
  Buffer.concat([
    Buffer.from([0, fields.length]),
    ...fields.flatMap((one) => (one === null ? [int32(-1)] : [int32(one.length), one])),
  ])

const header = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
const trailer = Buffer.from([0xff, 0xff])
const epoch = 946_684_800_000_000n
const micros = 1_763_700_000_123_456n

const full = row(
  int64(micros - epoch),
  int32(7),
  int64(2n ** 40n + 3n),
  Buffer.from('/s'),
  Buffer.from('1'),
  Buffer.from('t'),
  Buffer.from('sub'),
  Buffer.from('acme'),
  jsonb('{"a": 1}'),
  null,
  jsonb('{"x": "y"}'),
)
const bare = row(
  int64(-1n),
  int32(0),
  int64(0n),
  Buffer.from('/s'),
  Buffer.from('2'),
  Buffer.from('t'),
  null,
  null,
  null,
  Buffer.from(''),
  null,
)

test('rows as the server sends them: with the header before the first, several in a message, the trailer behind', () => {
  const rows = new CopyRows('r-1')
  const events: ReplayEvent[] = []
  for (const message of [Buffer.concat([header, full]), Buffer.concat([bare, full]), trailer]) {
    // It lies somewhere in what came.
    const came = Buffer.concat([Buffer.from('....'), message, Buffer.from('....')])
    rows.read(came, 4, 4 + message.length, events)
    // The driver writes over its buffer.
    came.fill(0)
  }
  assert.equal(events.length, 3)
  const [first, second] = events as [ReplayEvent, ReplayEvent]
  assert.deepEqual([first.micros, first.partition, first.offset], [Number(micros), 7, 2 ** 40 + 3])
  const of = ({ entry }: ReplayEvent) => JSON.parse(entry.toString())
  const time = '2025-11-21T04:40:00.123456Z'
  const event = {
    specversion: '1.0',
    replayid: 'r-1',
    id: '1',
    source: '/s',
    type: 't',
    subject: 'sub',
    time,
    tenantid: 'acme',
  }
  assert.deepEqual(of(first), { ...event, x: 'y', data: { a: 1 } })
  assert.deepEqual(of(second), {
    specversion: '1.0',
    replayid: 'r-1',
    id: '2',
    source: '/s',
    type: 't',
    time: '1999-12-31T23:59:59.999999Z',
    data_base64: '',
  })
})

test('another number of columns is a bug, and told', () => {
  assert.throws(() => new CopyRows('r').read(row(int64(0n)), 0, 14, []), /has 1 fields, not 11/)
})
