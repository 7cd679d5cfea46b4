/** The receiver may fail in any way: spans are counted and lost, and nobody waits. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { Span } from '../../src/core/otlp.ts'
import { createMetrics } from '../../src/core/registry.ts'
import { openExporter, tracesUrl } from '../../src/process/export-spans.ts'
import { openReceiver, type Receiver } from './otlp-receiver.ts'

const span = (n: number): Span => ({
  name: 'batch t',
  kind: 5,
  context: { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: (n + 1).toString(16).padStart(16, '0'), state: null },
  parent: null,
  startMs: 1_795_298_400_000,
  endMs: 1_795_298_400_001,
  attributes: {},
  moments: [],
  links: [],
  error: null,
})
const some = (count: number) => Array.from({ length: count }, (_, n) => span(n))

/** Time is the test's: a second passes when it says so. */
function open(receiver: Receiver, headers = '') {
  const metrics = createMetrics({ processMetrics: false })
  const lines: string[] = []
  const say = (level: string) => (about: object, text?: string) =>
    void lines.push(`${level} ${text} ${JSON.stringify(about)}`)
  let nowMs = 0
  let wake: () => void = () => {}
  const exporter = openExporter({
    endpoint: receiver.endpoint,
    headers,
    resource: { service: 'millrace', version: '1', instance: 'r1' },
    clock: {
      steadyMs: () => nowMs,
      sleep: (_, signal) =>
        new Promise((resolve, reject) => {
          wake = resolve
          signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        }),
    },
    metrics,
    logger: { debug: say('debug'), info: say('info'), warn: say('warn') },
    pauseMs: 30_000,
  })
  const counts = () => metrics.by('trace_spans_total', 'outcome')
  return {
    exporter,
    lines,
    counts,
    async pass(ms: number) {
      nowMs += ms
      wake()
      await turn()
    },
    async until(what: string, isSo: (found: Record<string, number>) => boolean) {
      for (let tries = 0; !isSo(counts()); tries++) {
        assert.ok(tries < 500, `waited in vain for ${what}: ${JSON.stringify(counts())}`)
        await delay(10)
      }
    },
  }
}

test('spans are sent in requests of a bounded size, under the name of the fleet and with its headers', async (t) => {
  const receiver = await openReceiver()
  t.after(() => receiver.close())
  const { exporter, counts, pass, until } = open(receiver, 'authorization=Bearer%20x')
  exporter.add(some(1200))
  assert.equal(receiver.requests, 0)
  await pass(1000)
  await until('all of them', ({ exported }) => exported === 1200)
  assert.equal(receiver.requests, 3)
  assert.deepEqual(receiver.complaints, [])
  assert.equal(new Set(receiver.spans.map(({ spanId }) => spanId)).size, 1200)
  assert.deepEqual(receiver.resource, {
    'service.name': 'millrace',
    'service.version': '1',
    'service.instance.id': 'r1',
  })
  assert.equal(receiver.headers.authorization, 'Bearer x')
  exporter.add(some(3))
  await exporter.close()
  assert.deepEqual(counts(), { exported: 1203, dropped: 0, failed: 0 })
})

test('a receiver that fails costs one line, a pause and what was sent; beyond the bound nothing is kept', async (t) => {
  const receiver = await openReceiver()
  t.after(() => receiver.close())
  const { exporter, lines, counts, pass, until } = open(receiver)
  receiver.answer(503)
  exporter.add(some(10))
  await pass(1000)
  await until('the failure', ({ failed }) => failed === 10)
  for (let n = 0; n < 50; n++) {
    exporter.add(some(100))
    await pass(100)
  }
  assert.equal(receiver.requests, 1, 'it is left alone')
  assert.deepEqual(counts(), { exported: 0, dropped: 1000, failed: 10 })
  await pass(30_000)
  await until('the second failure', ({ failed }) => failed === 522)
  receiver.answer(200, '{"partialSuccess":{"rejectedSpans":"2","errorMessage":"two of them"}}')
  await pass(30_000)
  await until('the rest', ({ exported = 0, failed = 0 }) => exported + failed === 4010)
  await exporter.close()
  assert.deepEqual(
    lines.map((line) => line.split(' ')[0]),
    ['warn', 'debug', 'info'],
  )
  assert.match(lines[0] as string, /the receiver of traces does not take them.*"reason":"it answers 503"/)
  assert.match(lines[2] as string, /takes them again/)
})

test('nobody listens, or nobody answers: told in words, and the end does not wait for long', async (t) => {
  const gone = await openReceiver()
  await gone.close()
  const first = open(gone)
  first.exporter.add(some(1))
  await first.pass(1000)
  await first.until('the failure', ({ failed }) => failed === 1)
  assert.match(first.lines[0] as string, /"reason":"ECONNREFUSED"/)
  first.exporter.add(some(1))
  await first.exporter.close()

  const silent = await openReceiver()
  t.after(() => silent.close())
  silent.answer(null)
  const second = open(silent)
  second.exporter.add(some(1))
  const fromMs = performance.now()
  await second.exporter.close()
  assert.ok(performance.now() - fromMs < 5000)
  assert.deepEqual(second.counts(), { exported: 0, dropped: 0, failed: 1 })
})

test("a receiver's address may have a path, a query and a login, which is in no URL any more", () => {
  assert.deepEqual(tracesUrl('http://h:4318'), { url: 'http://h:4318/v1/traces', login: {} })
  assert.deepEqual(tracesUrl('https://h/otlp/?k=1'), { url: 'https://h/otlp/v1/traces?k=1', login: {} })
  assert.deepEqual(tracesUrl('https://u:s3%2Fcret%zz@h'), {
    url: 'https://h/v1/traces',
    login: { authorization: `Basic ${Buffer.from('u:s3/cret%zz').toString('base64')}` },
  })
})
