import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { clockText, escapeText, linearTicks, logTicks, renderChart } from '../../src/live/chart.ts'
import { renderPage } from '../../src/load/page.ts'
import { renderResult } from '../../src/load/print.ts'
import type { LoadResult, SuiteResult } from '../../src/load/result.ts'
import { seconds } from './samples.ts'
import { assertWellFormed } from './well-formed.ts'

const latencies = { count: 1000, p50: 6, p95: 14, p99: 31, p999: 60, max: 88 }
const suite: SuiteResult = {
  name: 'goal',
  what: '400,000 events end to end in 60 s',
  kept: true,
  goals: [{ goal: 'p99 from due to published below 50 ms', measured: '31 ms', kept: true }],
  findings: [],
  scheduled: 400_000,
  sent: 400_000,
  failed: 0,
  seconds: 59.3,
  ratePerSecond: 6780,
  catchUpSeconds: 0.3,
  stored: latencies,
  published: latencies,
  acknowledged: latencies,
  lateMsP99: 4,
  medianSecondP99: 25,
  cpuSecondsPerMillion: { 'replica-1': 21.5, kafka: 30 },
  memoryPeak: { 'replica-1': 190e6, kafka: 400e6 },
  readers: {
    streams: {
      added: 0,
      bytes: 0,
      elapsedMs: 1,
      waiting: 0,
      lateMsP99: 0,
      addMsP50: 0,
      addMsP99: 0,
      groups: [
        {
          group: 'a<b',
          read: 1234,
          acknowledged: 1234,
          claimed: 1,
          abandoned: 1,
          behind: 0,
          readMsP50: 8,
          readMsP99: 40,
        },
      ],
      missing: 0,
    },
    queries: {
      stored: 0,
      batches: 0,
      elapsedMs: 1,
      waiting: 0,
      storedMsP50: 0,
      storedMsP99: 0,
      readsWaiting: 0,
      reads: [{ kind: 'by key', queries: 500, rows: 500, msP50: 1, msP99: 4 }],
      missing: 0,
    },
  },
  samples: seconds(60),
}
const proof: LoadResult['proof'] = {
  holds: true,
  produced: 400_000,
  rows: 399_000,
  rejects: 200,
  duplicates: 800,
  skips: 0,
  entries: 399_000,
  lost: 0,
  duplicated: 0,
  outOfOrder: 0,
  wrong: 0,
  problems: [],
  awaited: 0,
  trimmed: 0,
  behind: 0,
  unchecked: 0,
  partitions: 100,
  comparedInFull: 20_000,
  seconds: 9,
}
const result: LoadResult = {
  passed: true,
  at: '2026-11-21T16:00:00.000Z',
  version: '0.1.0',
  machine: { cores: 2, cpu: 'A <CPU> & "more"', memoryGiB: 24, node: 'v24.21.0' },
  replicas: 2,
  partitions: 100,
  processes: 1,
  seed: 7,
  servers: [],
  publishes: true,
  suites: [suite, { ...suite, name: 'soak', kept: false, findings: ['a <finding>'] }],
  proof,
  troubles: ['replica-1 did not end in order (SIGKILL); its log is /a&b'],
}

test('the page is one well-formed file that asks nobody for anything', () => {
  const page = renderPage({ ...result, passed: false }, 50)
  assertWellFormed(page)
  assert.doesNotMatch(page, /<script|https?:|src=|@import|url\(/)
  for (const text of ['Failed', 'soak', 'a &lt;finding&gt;', 'A &lt;CPU&gt; &amp; &quot;more&quot;', '399,000']) {
    assert.ok(page.includes(text), text)
  }
  assert.match(page, /prefers-color-scheme:dark/)
  assert.match(page, /name="viewport"/)
  assert.equal(page.match(/<svg /g)?.length, 12)
})

test('a page of nothing much is well-formed, too: no samples, no streams, no runs', () => {
  assertWellFormed(renderPage({ ...result, suites: [] }, 50))
  const empty = { count: 0, p50: null, p95: null, p99: null, p999: null, max: null }
  const bare = {
    ...suite,
    readers: null,
    samples: [],
    published: null,
    stored: empty,
    acknowledged: empty,
    medianSecondP99: null,
  }
  const page = renderPage({ ...result, publishes: false, suites: [bare] }, 50)
  assertWellFormed(page)
  assert.doesNotMatch(page, /NaN|undefined|Infinity/)
})

test('property: whatever the figures and names are, a chart is well-formed, within its frame, and without NaN', () => {
  const value = fc.option(fc.oneof(fc.double({ min: 0, max: 1e12, noNaN: true }), fc.constant(0)))
  const given = fc.integer({ min: 0, max: 300 }).chain((length) =>
    fc.record({
      title: fc.string({ unit: 'binary' }),
      times: fc.constant(Array.from({ length }, (_, i) => i * 1.01)),
      log: fc.boolean(),
      series: fc.array(
        fc.record({
          name: fc.string({ unit: 'binary', maxLength: 30 }),
          colour: fc.integer({ min: 0, max: 8 }),
          values: fc.array(value, { minLength: length, maxLength: length }),
        }),
        { minLength: 1, maxLength: 4 },
      ),
    }),
  )
  fc.assert(
    fc.property(given, (options) => {
      const svg = renderChart({ ...options, format: String })
      assertWellFormed(svg)
      assert.doesNotMatch(svg.replaceAll(/<title>[^<]*<\/title>|aria-label="[^"]*"/g, ''), /NaN|undefined|Infinity/)
      for (const [, d] of svg.matchAll(/ d="([^"]*)"/g)) {
        for (const [, x, y] of (d as string).matchAll(/[ML]([-\d.]+) ([-\d.]+)/g)) {
          assert.ok(Number(x) >= 0 && Number(x) <= 480 && Number(y) >= 0 && Number(y) <= 220, `${x} ${y}`)
        }
      }
    }),
    { numRuns: 30 },
  )
})

test('property: ticks are round, ascending, and reach the highest value', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), (highest) => {
      for (const ticks of [linearTicks(highest), logTicks(highest)]) {
        assert.ok(ticks.length >= 2 && ticks.length <= 14, `${ticks}`)
        assert.ok((ticks.at(-1) as number) >= highest * 0.99999)
        assert.deepEqual(
          ticks,
          ticks.toSorted((a, b) => a - b),
        )
      }
      assert.ok(linearTicks(highest).length <= 6)
    }),
  )
})

test('times as people write them; text that XML takes', () => {
  assert.deepEqual([5, 59.7, 150, 3723].map(clockText), ['5 s', '1:00', '2:30', '1:02:03'])
  assert.equal(escapeText('<a href="x">\'&\u0000\ud800'), '&lt;a href=&quot;x&quot;&gt;&#39;&amp;\ufffd\ufffd')
})

test('the table in the terminal says which goals are missed, and why it failed', () => {
  const plain = (text: string) => text
  const text = renderResult({ ...result, passed: false }, plain)
  assert.match(text, /goal +400,000 +6,780 +6\.0 ms +14 ms +31 ms +60 ms +88 ms +0\.3 s +kept/)
  assert.match(text, /queries by key +500 +1\.0 ms +4\.0 ms/)
  assert.match(text, /kept +p99 from due to published below 50 ms: 31 ms/)
  assert.match(text, /FAILED: soak: a <finding>; replica-1 did not end in order/)
  assert.match(renderResult({ ...result, suites: [suite], troubles: [] }, plain), /PASSED/)
})

test('this test sees what is not well-formed', () => {
  for (const bad of [
    '<p>',
    '<p></b>',
    '<a href=x></a>',
    '<p>&nope</p>',
    '<p>a < b</p>',
    '<br>',
    '</p>',
    '<p id="a" id="b"></p>',
  ]) {
    assert.throws(() => assertWellFormed(bad), bad)
  }
  assertWellFormed('<!DOCTYPE html>\n<p class="a">x &amp; y<br/></p>')
})
