/** Every vector through the real decode/: the bad ones under their codes and with all their bytes, the good ones as the rows and entries they are. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RejectCode, rejectCodes } from '../../src/core/verdict.ts'
import { readEvent, sameData, sameJson } from '../../src/verify/event.ts'
import { nowMs } from '../flow/batches.ts'
import { badVectors } from './bad.ts'
import { goodVectors } from './good.ts'
import { judge } from './judge.ts'

for (const { name, code, value, headers = {}, decoder, limits } of badVectors) {
  test(`rejected, ${code}: ${name}`, () => {
    const { reject, entry } = judge({ value, headers, key: Buffer.from('k\0') }, decoder, limits)
    assert.equal(reject?.code, code, reject?.reason)
    assert.ok(reject.reason.startsWith(rejectCodes[code]))
    assert.ok(reject.reason.length < 400, reject.reason)
    assert.equal(entry, null)
    assert.deepEqual(reject.value, value === null ? null : Buffer.from(value as string))
    assert.equal(reject.key?.toString(), 'k\0')
    const pairs = JSON.parse(reject.headers) as [string, string | null][]
    const given = Object.entries(headers).flatMap(([name, given]) =>
      (Array.isArray(given) ? given : [given]).map((one) => [
        name,
        one == null ? null : Buffer.from(one).toString('base64'),
      ]),
    )
    assert.deepEqual(pairs, given)
    assert.deepEqual([reject.attempts, reject.redriveOf], [0, null])
    // It was not looked into.
    if (code === 'too_large') assert.equal(reject.eventType, null)
  })
}

test('at least 40 kinds, under every code but those that no single record can have', () => {
  const elsewhere: RejectCode[] = ['unreadable_batch', 'refused']
  const reached = new Set<string>([...badVectors.map(({ code }) => code), ...elsewhere])
  assert.deepEqual(
    Object.keys(rejectCodes).filter((code) => !reached.has(code)),
    [],
  )
  assert.ok(badVectors.length > 100)
})

for (const { name, value, headers = {}, key = null, decoder, row: expected, entry, unlabelled } of goodVectors) {
  test(`stored: ${name}`, () => {
    const seen = judge({ value, headers, key }, decoder)
    const { row } = seen
    assert.ok(row !== null, seen.reject?.reason)
    const { source, id, type, subject, tenant, time, data, bytes, extensions } = expected
    if (source !== undefined) assert.equal(row.source, source)
    if (id !== undefined) assert.equal(row.eventId, id)
    if (type !== undefined) assert.equal(row.type, type)
    if (subject !== undefined) assert.equal(row.subject, subject)
    if (tenant !== undefined) assert.equal(row.tenantId, tenant)
    if (time !== undefined) {
      const micros = Date.parse(time) * 1000 + Number(/\.\d{3}(\d{3})/.exec(time)?.[1] ?? 0)
      assert.equal(row.eventTimeMicros, micros)
    }
    if (data !== undefined) assert.deepEqual(row.data === null ? null : JSON.parse(row.data), data)
    assert.deepEqual(row.dataBytes, bytes === undefined ? null : Buffer.from(bytes as string))
    if (bytes !== undefined) assert.equal(row.data, null)
    if (extensions !== undefined) assert.deepEqual(row.extensions && JSON.parse(row.extensions), extensions)
    const isBinary =
      Object.keys(headers).some((name) => name.toLowerCase().startsWith('ce_')) &&
      !('content-type' in headers && /cloudevents/.test(String(headers['content-type'])))
    if (entry !== undefined) assert.deepEqual(JSON.parse(seen.entry as string), entry)
    else if (!isBinary) assert.equal(seen.entry, String(value))
    if (unlabelled !== undefined) assert.equal(seen.unlabelled, unlabelled ? 1 : 0)

    // The proof's own reader, which shares no line with the decoder, sees the same event.
    const buffer = value === null ? null : Buffer.from(value as string)
    const plain = readEvent(buffer, headers as never, nowMs)
    assert.ok(plain !== null)
    assert.deepEqual([plain.source, plain.id, plain.type], [row.source, row.eventId, row.type])
    assert.equal(plain.timeMs, Math.floor(row.eventTimeMicros / 1000))
    if (row.dataBytes !== null) assert.deepEqual(plain.bytes, row.dataBytes)
    else assert.ok(sameJson(plain.data ?? null, row.data === null ? null : JSON.parse(row.data)))
    const published = readEvent(Buffer.from(seen.entry as string), { 'content-type': 'application/cloudevents' }, nowMs)
    assert.ok(published !== null && sameData(published, plain))
    assert.ok(sameJson(plain.extensions, row.extensions === null ? {} : JSON.parse(row.extensions)))
  })
}

test('an attempt of a redrive that fails again says so; nonsense in those headers says nothing', () => {
  const attempt = (of: string, attempts: string) => {
    const { reject } = judge({ value: 'x', headers: { 'millrace-redrive-of': of, 'millrace-attempts': attempts } })
    return [reject?.redriveOf, reject?.attempts]
  }
  assert.deepEqual(attempt('42', '3'), [42, 3])
  for (const nonsense of ['', '-1', '1e3', '0x1', ' 1', '9'.repeat(30), 'NaN']) {
    assert.deepEqual(attempt(nonsense, nonsense), [null, 0])
  }
})

test('whose a reject was, where the decoder got so far and the text is clean', () => {
  const of = (value: string | Buffer, headers = {}) => {
    const { reject } = judge({ value, headers })
    return [reject?.eventType, reject?.tenantId]
  }
  const event = '{"type":"com.x","tenantid":"acme","id":"a"'
  assert.deepEqual(of(event), ['com.x', 'acme'])
  assert.deepEqual(of(`{"tenantid":"\\u0061cme","type":"com.${'x'.repeat(2000)}"`), [null, 'acme'])
  assert.deepEqual(of(Buffer.from('{"type":"\xff","tenantid":7}', 'latin1')), [null, null])
  assert.deepEqual(of('x', { ce_type: 'com.x', ce_tenantid: Buffer.from([0xff]) }), ['com.x', null])
  assert.deepEqual(of('x', { ce_type: 'a\0b', ce_tenantid: 'acme' }), [null, 'acme'])
  assert.deepEqual(of('nothing'), [null, null])
})
