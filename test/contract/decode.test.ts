/** What decode/ promises, wherever it runs: on memory and on Piscina's workers. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import type { Decoded, Packed } from '../../src/core/batch.ts'
import { codecs } from '../../src/core/codecs.ts'
import { type RecordRun, runOf } from '../../src/core/record.ts'
import type { ConsumerDefinition } from '../../src/define.ts'
import { openMemoryDecode } from '../../src/flow/decode/memory.ts'
import { openPiscina } from '../../src/flow/decode/piscina.ts'
import type { Decode } from '../../src/flow/decode/port.ts'
import { limits, nowMs, pack, record } from '../flow/batches.ts'

const consumerUrl = new URL('../../consumers/cloud-events.ts', import.meta.url).href
const { default: definition } = (await import(consumerUrl)) as { default: ConsumerDefinition }
const never = new AbortController().signal
const now = () => nowMs

const memory = openMemoryDecode(definition, limits, now)
const piscina = openPiscina({ definition, consumerUrl, limits, workers: 2, now, onError: assert.fail })
after(() => piscina.close())

const kinds = ['customer.created', 'order.placed', 'payment.failed', 'something.else']

/** Good events of all kinds, some in binary mode, some bad, over a few days; every record its own. */
function records(count: number, from = 0) {
  return Array.from({ length: count }, (_, n) => {
    const offset = from + n
    const type = `com.bss.${kinds[offset % kinds.length]}`
    if (offset % 11 === 5) return record(offset, `bad ${offset}`, { key: Buffer.from('k'), headers: { a: null } })
    if (offset % 7 === 3) {
      const headers = {
        ce_specversion: '1.0',
        ce_id: `b${offset}`,
        ce_source: '/b',
        ce_type: type,
        ce_subject: `sübjekt`,
      }
      return record(offset, JSON.stringify({ offset }), { headers })
    }
    return record(offset, {
      id: `e${offset}`,
      type,
      timeMs: nowMs - (offset % 3) * 86_400_000,
      data: { text: 'x'.repeat(offset % 300) },
    })
  })
}

const snappy = (run: RecordRun): RecordRun => ({
  ...run,
  codec: 2,
  bytes: codecs.snappy.compress(Buffer.from(run.bytes)),
})

/** The same batch as often as it is asked for: decode() takes over the buffer. */
const batches: Record<string, () => Packed> = {
  'one record': () => pack({ partition: 0, records: records(1) }),
  'no record': () => pack({ partition: 0, firstOffset: 3, nextOffset: 9 }),
  'a few, decoded where they stand': () =>
    pack({ partition: 0, records: records(20) }, { partition: 1, records: records(20, 50) }),
  'enough for a worker': () =>
    pack({ partition: 0, records: records(500) }, { partition: 9, records: records(500, 1000) }),
  'nothing but rejects': () =>
    pack({ partition: 0, records: Array.from({ length: 200 }, (_, n) => record(n, `bad ${n}`)) }),
  'compressed runs, and one that cannot be read': () =>
    pack({
      partition: 0,
      runs: [snappy(runOf(records(300))), { ...snappy(runOf(records(50, 300))), bytes: Buffer.from('?') }],
    }),
  'records that come by again': () => pack({ partition: 0, records: records(300), again: true }),
  'a huge batch': () => pack(...Array.from({ length: 20 }, (_, partition) => ({ partition, records: records(600) }))),
}

/** Bytes as hex and numbers as they are, whatever kind of view holds them. */
function plain({ rows, copies, rejects, entryBytes, ...rest }: Decoded) {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  const { count, ids, slice, offset, family, entryStart, entryEnd, timestampMs } = rows
  const numbers = [slice, offset, family, entryStart, entryEnd, timestampMs].map((all) =>
    Array.from(all.subarray(0, count)),
  )
  return {
    ...rest,
    rows: [count, hex(ids.subarray(0, count * 16)), numbers],
    copies: copies.map(({ day, rows, bytes }) => [day, rows, hex(bytes)]),
    rejects: [rejects.count, hex(rejects.bytes), { ...rejects.codes }],
    entries: hex(entryBytes),
  }
}

function decodeContract(name: string, decode: Decode): void {
  describe(`decode/ in ${name}`, () => {
    test('order and grouping stay as they came in', async () => {
      const decoded = await decode.decode((batches['enough for a worker'] as () => Packed)(), never)
      assert.deepEqual(
        decoded.slices.map(({ partition, firstOffset, nextOffset, records }) => [
          partition,
          firstOffset,
          nextOffset,
          records,
        ]),
        [
          [0, 0, 500, 500],
          [9, 1000, 1500, 500],
        ],
      )
      const { count, offset, slice } = decoded.rows
      const places = Array.from({ length: count }, (_, row) => (slice[row] as number) * 1e9 + (offset[row] as number))
      assert.deepEqual(
        places,
        places.toSorted((a, b) => a - b),
      )
      assert.equal(new Set(places).size, count)
    })

    test('batches under way at the same time do not mix', async () => {
      const made = Array.from({ length: 8 }, (_, n) => pack({ partition: n, records: records(200, n * 1000) }))
      const decoded = await Promise.all(made.map((one) => decode.decode(one, never)))
      for (const [n, { slices, rows }] of decoded.entries()) {
        assert.equal(slices[0]?.partition, n)
        for (let row = 0; row < rows.count; row++) assert.equal(Math.floor((rows.offset[row] as number) / 1000), n)
      }
    })

    for (const kind of ['a few, decoded where they stand', 'enough for a worker', 'a huge batch']) {
      test(`aborted with ${kind}: the signal's reason, also when it was aborted before`, async () => {
        const reason = new Error('fenced')
        const make = batches[kind] as () => Packed
        await assert.rejects(decode.decode(make(), AbortSignal.abort(reason)), reason)
        const stop = new AbortController()
        const decoding = decode.decode(make(), stop.signal).then(
          () => 'done',
          (error: unknown) => error,
        )
        stop.abort(reason)
        const outcome = await decoding
        assert.ok(outcome === 'done' || outcome === reason, String(outcome))
        // And it is of use afterwards.
        assert.ok((await decode.decode(make(), never)).records > 0)
      })
    }
  })
}

decodeContract('memory', memory)
decodeContract('Piscina', piscina)

for (const [kind, make] of Object.entries(batches)) {
  test(`workers make of ${kind} what memory makes of it, byte for byte`, async () => {
    const ours = plain(await memory.decode(make(), never))
    assert.deepEqual(plain(await piscina.decode(make(), never)), ours)
    assert.ok(ours.records === 0 || (ours.rows[0] as number) + (ours.rejects[0] as number) > 0)
  })
}
