/** What a consumer file may ask for, and what it is told when it asks for nonsense. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { cloudEvents } from '../../src/decoders/cloud-event.ts'
import { jsonSchemas } from '../../src/decoders/json-schemas.ts'
import { openPiscina } from '../../src/flow/decode/piscina.ts'
import { limits, nowMs, pack, record } from '../flow/batches.ts'
import { judge } from '../vectors/judge.ts'
import { json } from '../vectors/make.ts'

test('rules that make no sense are refused when the file is loaded', () => {
  assert.throws(() => cloudEvents({ required: ['tenant_id'] }), /required: 'tenant_id' is no name of an attribute/)
  assert.throws(() => cloudEvents({ required: ['data'] }), TypeError)
  assert.throws(() => jsonSchemas({ 'com.x': { type: 'objekt' } }), /the schema of com\.x: /)
  assert.throws(() => jsonSchemas({ 'com.x': { propertys: {} } }), /the schema of com\.x: .*propertys/)
})

test('a violation says where and what', () => {
  const schemas = jsonSchemas({
    t: { type: 'object', properties: { lines: { type: 'array', items: { type: 'object', required: ['sku'] } } } },
  })
  const { reject } = judge({ value: json({ data: { lines: [{ sku: 1 }, {}] } }) }, cloudEvents({ schemas }))
  assert.equal(
    reject?.reason,
    "The data does not fit the schema of its type. /lines/1 must have required property 'sku'.",
  )
  assert.deepEqual([reject?.eventType, reject?.tenantId], ['t', null])
})

test('schemas hold in the workers and on the main thread', async (t) => {
  const folder = mkdtempSync(join(import.meta.dirname, 'rules-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'consumer.ts')
  writeFileSync(
    file,
    `import { cloudEvents } from '../../../src/decoders/cloud-event.ts'
import { jsonSchemas } from '../../../src/decoders/json-schemas.ts'
import { defineConsumer } from '../../../src/define.ts'
export default defineConsumer({
  topic: 'cloud-events',
  table: 'cloud_events',
  decoder: cloudEvents({ schemas: jsonSchemas({ 'com.x.cloud': { type: 'object', properties: { id: { type: 'string', minLength: 2 } } } }) }),
})
`,
  )
  const consumerUrl = pathToFileURL(file).href
  const { default: definition } = await import(consumerUrl)
  const piscina = openPiscina({ definition, consumerUrl, limits, workers: 1, now: () => nowMs, onError: assert.fail })
  t.after(() => piscina.close())
  // Up to 64 records are decoded where they stand.
  for (const count of [10, 200]) {
    const records = Array.from({ length: count }, (_, n) => record(n, { id: n % 2 === 0 ? `even-${n}` : 'x' }))
    const decoded = await piscina.decode(pack({ partition: 0, records }), new AbortController().signal)
    assert.equal(decoded.rows.count, count / 2)
    assert.deepEqual(decoded.rejects.codes, { schema_violation: count / 2 })
  }
})
