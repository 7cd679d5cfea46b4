import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HTTP } from 'cloudevents'
import fc from 'fast-check'
import { headerText, httpMessage } from '../../src/replay/http-message.ts'

const attributes = {
  specversion: '1.0',
  replayid: 'r-1',
  id: '1',
  source: '/s',
  type: 't',
  time: '2026-11-21T12:00:00.000Z',
  subject: 'Euro € "100 %" ü\u{1f600}',
  tenantid: 'acme',
}
const entryOf = (more: object) => Buffer.from(JSON.stringify({ ...attributes, ...more }))

test('each mode is what the official SDK takes for the same event', () => {
  const event = { ...attributes, subject: 'plain', datacontenttype: 'application/json', data: { a: [1, 'é'] } }
  const entry = Buffer.from(JSON.stringify(event))
  for (const mode of ['binary', 'structured', 'batch'] as const) {
    const { headers, body } = httpMessage(mode, mode === 'batch' ? [entry, entry] : [entry])
    const found = HTTP.toEvent({ headers, body: (body as Buffer).toString() })
    for (const one of Array.isArray(found) ? found : [found])
      assert.deepEqual(JSON.parse(JSON.stringify(one)), event, mode)
  }
})

test('binary: headers as the binding wants them', () => {
  const { headers } = httpMessage('binary', [entryOf({ sampled: true, retries: 3 })])
  assert.equal(headers['ce-subject'], 'Euro%20%E2%82%AC%20%22100%20%25%22%20%C3%BC%F0%9F%98%80')
  assert.deepEqual([headers['ce-sampled'], headers['ce-retries'], headers['ce-replayid']], ['true', '3', 'r-1'])
  fc.assert(
    fc.property(
      fc.string({ unit: 'grapheme' }).filter((text) => text.isWellFormed()),
      (text) => {
        const written = headerText(text)
        assert.match(written, /^[\x21-\x7e]*$/)
        assert.equal(decodeURIComponent(written), text)
      },
    ),
  )
})

test('binary: data is the body, whatever it is', () => {
  const of = (more: object | string) => {
    const entry = typeof more === 'string' ? Buffer.from(`{"specversion":"1.0",${more}}`) : entryOf(more)
    const { headers, body } = httpMessage('binary', [entry])
    return [headers['content-type'], body === null ? null : body.toString('latin1')]
  }
  assert.deepEqual(of({}), [undefined, null])
  assert.deepEqual(of({ data: null }), ['application/json', 'null'])
  assert.deepEqual(of('"data": {"n": 12345678901234567890.10}'), ['application/json', '{"n": 12345678901234567890.10}'])
  assert.deepEqual(of({ datacontenttype: 'text/plain', data: 'a"b' }), ['text/plain', 'a"b'])
  assert.deepEqual(of({ datacontenttype: 'application/json', data: 'a"b' }), ['application/json', '"a\\"b"'])
  assert.deepEqual(of({ datacontenttype: 'image/png', data_base64: '/wA=' }), ['image/png', '\xff\0'])
})
