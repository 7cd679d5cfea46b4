/** What people see of a run: a frame that fits its terminal, a table with every figure, a page that hides nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keep } from './kept.ts'
import { renderPage } from './page.ts'
import type { Live, Result } from './run.ts'
import type { Scenario } from './scenario.ts'
import { commandOf, renderTable } from './table.ts'
import { openView, renderFrame } from './view.ts'

const scenario: Scenario = {
  name: 'quiet',
  what: 'nothing happens, at length, in a sentence that is longer than any terminal of eighty columns can ever be',
  rounds: 2,
  recoveryMsMax: 5000,
  needs: {},
  round: async () => {},
}

const sampler = {
  lagSeconds: 1.5,
  lagHistory: [0, 0.5, 1.5],
  replicas: [
    { name: 'r1', pid: 1, residentBytes: 100 * 1024 ** 2, status: null },
    { name: 'r2', pid: 2, residentBytes: null, status: null },
  ],
  produced: 1000,
  settled: 900,
}

const live = {
  scenario,
  rounds: 2,
  round: 1,
  doing: 'the harm',
  startedMs: 0,
  world: { seed: 7, account: { acknowledged: 1000 } },
  sampler,
  told: Array.from({ length: 50 }, (_, index) => ({ atMs: index * 1000, text: `told ${index}` })),
  lastRecoveryMs: null,
} as unknown as Live

const counted = {
  acknowledged: 1010,
  events: 1000,
  uncertain: 3,
  declared: 0,
  rows: 1000,
  entries: 1000,
  rejects: 8,
  duplicates: 2,
  lost: 0,
  duplicated: 0,
  outOfOrder: 0,
  wrong: 0,
  problems: [],
}

const good: Result = {
  scenario: 'quiet',
  seed: 7,
  rate: 300,
  replicas: 3,
  partitions: 24,
  rounds: 2,
  roundsWanted: 2,
  recoveries: [
    { ms: 1200, worstLagSeconds: 2, note: '' },
    { ms: 3400, worstLagSeconds: 4, note: '' },
  ],
  recoveryMsMax: 5000,
  worstLagSeconds: 4,
  residentBytesMax: 200 * 1024 ** 2,
  endedByThemselves: [{ name: 'r1', code: 1, said: 'millrace: NO_PROGRESS: 7 records wait' }],
  counted,
  seconds: 12,
  holds: true,
  problems: [],
  folder: null,
}
const bad: Result = {
  ...good,
  scenario: 'other',
  rounds: 1,
  counted: { ...counted, lost: 3 },
  holds: false,
  problems: ['lost: 3'],
}
const neverRun: Result = { ...good, scenario: 'third', rounds: 0, recoveries: [], counted: null, holds: false }

test('a frame is never wider or longer than the terminal, and shows what happens now', () => {
  for (const [columns, rows] of [
    [80, 24],
    [40, 10],
    [200, 60],
  ] as const) {
    const lines = renderFrame(live, ['said before'], { columns, rows }, { colours: false, unicode: true }, 65_000)
    assert.ok(lines.length <= rows)
    for (const line of lines) assert.ok(line.length <= columns, line)
    const text = lines.join('\n')
    assert.match(text, /quiet {2}round 1 of 2 {3}01:05 {3}seed 7/)
    assert.match(text, /now the harm/)
    if (columns >= 80) assert.match(text, /r1 .* does not answer/)
    if (rows > 20) assert.match(text, /told 49$/)
  }
})

test('without a terminal there are plain lines', () => {
  const written: string[] = []
  const output = { isTerminal: false, columns: 80, rows: 24, write: (text: string) => void written.push(text) }
  const view = openView(output, { colours: false, unicode: true }, () => 65_000)
  view.look(live)
  view.look(live)
  view.told(live, 'round 1 of 2: done')
  view.close()
  assert.deepEqual(written, [
    '01:05  quiet  round 1 of 2  lag 1.5 s  in Kafka 1,000  settled 900  the harm\n',
    '01:05  quiet  round 1 of 2: done\n',
  ])
})

test('the table has every figure; what was not counted is not a zero', () => {
  const [head, first, second, third] = renderTable([good, bad, neverRun]).split('\n')
  assert.match(
    head as string,
    /^scenario +rounds +events +lost +duplicated +out of order +worst recovery \(s\) +bound \(s\) +worst lag \(s\) +highest RSS \(MiB\) +verdict$/,
  )
  assert.match(first as string, /^quiet +2 +1,000 +0 +0 +0 +3\.4 +5\.0 +4\.0 +200 +holds$/)
  assert.match(second as string, /^other +1 of 2 +1,000 +3 +0 +0 +3\.4 +5\.0 +4\.0 +200 +DOES NOT HOLD$/)
  assert.match(third as string, /^third +0 of 2 +\? +\? +\? +\? +- +5\.0 +4\.0 +200 +DOES NOT HOLD$/)
  assert.equal(
    commandOf(good),
    'npm run chaos -- --scenario quiet --rounds 2 --seed 7 --rate 300 --replicas 3 --partitions 24',
  )
})

test('the page says what failed, what ended by itself, and how to repeat each', () => {
  const found = { notRun: [], versions: ['Redis 8.0.2'] }
  const first = keep(
    { results: [], notRun: [], versions: [] },
    { ...found, atMs: Date.UTC(2026, 10, 21), results: [bad, good] },
    [scenario],
  )
  const page = renderPage(first, [scenario])
  assert.match(page, /Date: 2026-11-21/)
  assert.match(page, /Redis 8\.0\.2/)
  assert.match(page, /\| other \| 1 of 2 \|.*DOES NOT HOLD \|/)
  assert.match(page, /- \*\*other\*\*: lost: 3/)
  assert.match(page, /`quiet`: exit code 1: NO_PROGRESS/)
  assert.ok(page.includes(commandOf(bad)))

  const again = keep(
    first,
    { ...found, atMs: Date.UTC(2026, 10, 22), results: [{ ...bad, ...good, scenario: 'other' }] },
    [scenario],
  )
  const second = renderPage(again, [scenario])
  assert.match(second, /Date: 2026-11-21, 2026-11-22/)
  assert.match(second, /\| quiet \| 2 \|/)
  assert.match(second, /\| other \| 2 \|.* holds \|/)
  assert.match(second, /Nothing in this run/)
})
