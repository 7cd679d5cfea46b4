/** All vectors through a real PostgreSQL: what COPY takes, and how a producer's bytes are had back by SQL, as the README says it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchOf, record } from '../flow/batches.ts'
import type { FuzzRecord } from '../fuzz/records.ts'
import { prepare, roundTrip } from '../fuzz/round-trip.ts'
import { useServer } from '../schema/database.ts'
import { badVectors } from './bad.ts'
import { goodVectors } from './good.ts'

const server = useServer()

/** As in the README. */
const bytesOfData = `coalesce(data_bytes, convert_to(CASE
  WHEN coalesce(extensions->>'datacontenttype', 'application/json') ~* '^[^;]*[/+]json[[:space:]]*(;|$)' OR jsonb_typeof(data) <> 'string'
  THEN data::text ELSE data #>> '{}' END, 'UTF8'))`

test('every vector is a row or a reject that PostgreSQL takes, and comes back as it went in', async () => {
  const client = await (await server.database()).connect()
  await prepare(client)
  const given = [...goodVectors, ...badVectors].map(
    ({ name, value, headers = {} }): FuzzRecord => ({
      from: name,
      value: value === null ? null : Buffer.from(value as string),
      headers: { ...headers },
      timestamp: String(Date.UTC(2026, 10, 21, 11)),
    }),
  )
  const records = given.map(({ value, headers, timestamp = '' }, n) => record(n, value, { headers, timestamp }))
  const batch = batchOf({ partition: 0, records })
  assert.deepEqual(await roundTrip(client, batch, given), [])
  assert.ok(batch.rows.count >= goodVectors.length)
})

test('numbers, keys and nulls are as jsonb has them', async () => {
  const client = await (await server.database()).connect()
  await prepare(client)
  const data = async (json: string) => {
    const value = Buffer.from(`{"specversion":"1.0","id":"a","source":"/s","type":"t","data":${json}}`)
    const batch = batchOf({ partition: 0, records: [record(0, value)] })
    assert.deepEqual(
      await roundTrip(client, batch, [{ from: '', value, headers: {}, timestamp: record(0, '').timestamp }]),
      [],
    )
    const { rows } = await client.query('select data::text as data from fuzz_events')
    return rows[0]?.data
  }
  assert.equal(await data('-0'), '0')
  assert.equal(await data('-0.0'), '0.0')
  assert.equal(await data('123456789012345678901234567890'), '123456789012345678901234567890')
  assert.equal(await data('1.000000000000000000000000000001'), '1.000000000000000000000000000001')
  assert.equal(await data('1e400'), `1${'0'.repeat(400)}`)
  assert.equal(await data('1e1000'), `1${'0'.repeat(1000)}`)
  assert.equal(await data('1e-1000'), `0.${'0'.repeat(999)}1`)
  assert.equal(await data('{"b":1,"a":1,"a":2}'), '{"a": 2, "b": 1}')
  assert.equal(await data('null'), 'null')
  // What PostgreSQL itself would take, and we do not: its text is as long as its exponent.
  const { rows } = await client.query(`select length(('1e131071'::jsonb)::text) as digits`)
  assert.equal(rows[0].digits, 131_072)
  await assert.rejects(client.query(`select '1e131072'::jsonb`), { code: '22003' })
})

test("the producer's bytes by SQL, whichever mode they came in", async () => {
  const client = await (await server.database()).connect()
  await prepare(client)
  const ce = { ce_specversion: '1.0', ce_id: 'a', ce_source: '/s', ce_type: 't' }
  const envelope = (more: object) => JSON.stringify({ specversion: '1.0', id: 'a', source: '/s', type: 't', ...more })
  const noise = Buffer.from(Array.from({ length: 256 }, (_, n) => n))
  const cases: (readonly [value: string | Buffer, headers: Record<string, string>, bytes: string | Buffer])[] = [
    [noise, { ...ce, 'content-type': 'application/x-protobuf' }, noise],
    [noise, ce, noise],
    ['Grüße\0', { ...ce, 'content-type': 'text/plain' }, 'Grüße\0'],
    ['', { ...ce, 'content-type': 'text/plain' }, ''],
    [envelope({ datacontenttype: 'application/x-protobuf', data_base64: noise.toString('base64') }), {}, noise],
    [envelope({ datacontenttype: 'text/plain', data: '"quoted" Grüße' }), {}, '"quoted" Grüße'],
    [envelope({ datacontenttype: 'application/xml', data: '<a/>' }), {}, '<a/>'],
    // JSON comes back as equal JSON.
    [envelope({ data: 'text' }), {}, '"text"'],
    [envelope({ datacontenttype: 'Application/Cloud+JSON ; a=b', data: 'text' }), {}, '"text"'],
    ['{"b":1,  "a":2}', { ...ce, 'content-type': 'application/json' }, '{"a": 2, "b": 1}'],
  ]
  const batch = batchOf({ partition: 0, records: cases.map(([value, headers], n) => record(n, value, { headers })) })
  const given = cases.map(([value, headers], n) => ({
    from: String(n),
    value: Buffer.from(value as string),
    headers,
    timestamp: record(0, '').timestamp,
  }))
  assert.deepEqual(await roundTrip(client, batch, given), [])
  const { rows } = await client.query(`select ${bytesOfData} as bytes from fuzz_events order by kafka_offset`)
  assert.deepEqual(
    rows.map((row) => row.bytes.toString('latin1')),
    cases.map(([, , bytes]) => Buffer.from(bytes as string).toString('latin1')),
  )
})
