/** The report as one HTML file that stands alone: no network, no script; well-formed as XML, too. Follows the reader's choice of dark or light. */
import { count } from '../core/count.ts'
import { type ChartOptions, clockText, escapeText, renderChart, type Series } from '../live/chart.ts'
import { brief, bytes, milliseconds } from '../live/style.ts'
import { failures } from './print.ts'
import { type Latencies, type LoadResult, readRows, type SuiteResult } from './result.ts'

export function renderPage(result: LoadResult, p99LimitMs: number): string {
  const { machine, passed } = result
  const missed = failures(result)
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<title>Millrace load test, ${escapeText(result.at)}: ${passed ? 'passed' : 'failed'}</title>
<style>${style}</style>
</head>
<body>
<header>
<h1>Millrace load test</h1>
<p class="verdict ${passed ? 'good' : 'bad'}">${passed ? 'Passed' : 'Failed'}</p>
<p class="quiet">${escapeText(result.at)} · ${result.replicas} replicas, ${result.partitions} partitions, seed ${result.seed} · ${machine.cores} cores of ${escapeText(machine.cpu)}, ${machine.memoryGiB} GiB, Node ${escapeText(machine.node)}</p>
${missed.length === 0 ? '' : `<ul class="missed">${missed.map((text) => `<li>${escapeText(text)}</li>`).join('')}</ul>`}
</header>
<main>
${proofSection(result)}
${overview(result)}
${result.suites.map((suite) => suiteSection(suite, result.publishes, p99LimitMs)).join('\n')}
</main>
<footer class="quiet">Latency is counted from the moment an event was due by the schedule, so that what waits for a slow system is seen. A point of a line is a second, or the worst of several.</footer>
</body>
</html>
`
}

const figure = (name: string, value: string, mood = '') =>
  `<div class="figure${mood}"><b>${escapeText(value)}</b><span>${escapeText(name)}</span></div>`

function proofSection({ proof, publishes }: LoadResult): string {
  const bad = (value: number) => (value > 0 ? ' bad' : ' good')
  return `<section class="card"><h2>The proof: ${proof.holds ? 'holds' : 'broken'}</h2><div class="figures">${[
    figure('records in Kafka', count(proof.produced)),
    figure('rows', count(proof.rows)),
    ...(publishes ? [figure('entries', count(proof.entries))] : []),
    figure('rejects', count(proof.rejects)),
    figure('duplicates of producers', count(proof.duplicates)),
    figure('lost', count(proof.lost), bad(proof.lost)),
    figure('duplicated', count(proof.duplicated), bad(proof.duplicated)),
    figure('out of order', count(proof.outOfOrder), bad(proof.outOfOrder)),
  ].join('')}</div></section>`
}

function overview({ suites, publishes }: LoadResult): string {
  const head = ['', 'events', 'per second', 'p50', 'p95', 'p99', 'p99.9', 'max', 'caught up after', '']
  const rows = suites.map((suite) => {
    const { p50, p95, p99, p999, max } = suite.published ?? suite.stored
    const cells = [
      count(suite.sent),
      count(suite.ratePerSecond),
      ...[p50, p95, p99, p999, max].map(ms),
      `${suite.catchUpSeconds} s`,
    ]
    return `<tr><th scope="row"><a href="#${suite.name}">${suite.name}</a></th>${cells.map((cell) => `<td>${escapeText(cell)}</td>`).join('')}<td>${badge(suite.kept)}</td></tr>`
  })
  return `<section class="card"><h2>Runs, from due to ${publishes ? 'published' : 'stored'}</h2><div class="wide"><table><thead><tr>${head.map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`
}

const ms = (value: number | null) => milliseconds(value ?? Number.NaN)
const badge = (kept: boolean) => `<span class="badge ${kept ? 'good' : 'bad'}">${kept ? 'kept' : 'missed'}</span>`

function suiteSection(suite: SuiteResult, publishes: boolean, p99LimitMs: number): string {
  const { name, what, goals, findings } = suite
  return `<section id="${name}" class="suite">
<h2>${name} ${badge(suite.kept)}</h2>
<p>${escapeText(what)}</p>
<ul class="goals">${goals.map((goal) => `<li>${badge(goal.kept)} ${escapeText(goal.goal)}: <b>${escapeText(goal.measured)}</b></li>`).join('')}${findings.map((text) => `<li><span class="badge">found</span> ${escapeText(text)}</li>`).join('')}</ul>
<div class="charts">
${charts(suite, publishes, p99LimitMs).map(chartCard).join('\n')}
</div>
<div class="charts">
${latencyTable(suite)}
${processTable(suite)}
${readersTable(suite)}
</div>
</section>`
}

function charts({ samples, goals }: SuiteResult, publishes: boolean, p99LimitMs: number): ChartOptions[] {
  const times = samples.map(({ at }) => at)
  const of = (value: (sample: SuiteResult['samples'][number]) => number | null) => samples.map(value)
  const perSecond = (value: number) => brief(value)
  const isJudged = goals.some(({ goal }) => goal.startsWith('p99'))
  const processes = [...new Set(samples.flatMap(({ cpu, memory }) => [...Object.keys(cpu), ...Object.keys(memory)]))]
  const perProcess = (value: (sample: SuiteResult['samples'][number], name: string) => number | undefined): Series[] =>
    processes.map((name, index) => ({
      name,
      colour: name === 'this view' ? 0 : (index % 8) + 1,
      values: of((sample) => value(sample, name) ?? null),
    }))
  return [
    {
      title: 'Events per second',
      times,
      format: perSecond,
      series: [
        { name: 'due', colour: 0, dashed: true, values: of(({ due }) => due) },
        { name: 'sent', colour: 2, values: of(({ produced }) => produced) },
        { name: 'stored', colour: 1, values: of(({ stored }) => stored) },
        ...(publishes ? [{ name: 'published', colour: 3, values: of(({ published }) => published) }] : []),
      ],
    },
    {
      title: publishes ? 'From due to published' : 'From due to stored',
      times,
      log: true,
      format: milliseconds,
      ...(isJudged && { limit: { value: p99LimitMs, name: `p99 below ${milliseconds(p99LimitMs)}` } }),
      series: (['p50', 'p95', 'p99'] as const).map((percentile, index) => ({
        name: percentile,
        colour: [1, 3, 4][index] as number,
        values: of(({ storedMs, publishedMs }) => (publishes ? publishedMs : storedMs)[percentile]),
      })),
    },
    {
      title: 'Lag: age of the oldest record that waits',
      times,
      topMin: 1,
      format: (value) => `${Number(value.toFixed(2))} s`,
      series: [{ name: 'seconds', colour: 4, values: of(({ lagSeconds }) => lagSeconds) }],
    },
    {
      title: 'Lag: records that wait',
      times,
      topMin: 10,
      format: brief,
      series: [
        { name: 'in Kafka', colour: 5, values: of(({ lagRecords }) => lagRecords) },
        { name: 'due, not sent', colour: 2, values: of(({ waiting }) => waiting) },
      ],
    },
    {
      title: 'CPU, of one core',
      times,
      topMin: 1,
      format: (value) => `${Math.round(value * 100)} %`,
      series: perProcess(({ cpu }, name) => cpu[name]),
    },
    {
      title: 'Memory',
      times,
      // So that the axis has round numbers.
      format: (mebibytes) => `${count(mebibytes)} MiB`,
      series: perProcess(({ memory }, name) => {
        const used = memory[name]
        return used === undefined ? undefined : used / 1024 ** 2
      }),
    },
  ]
}

function chartCard(options: ChartOptions): string {
  const legend = options.series.map(({ name, colour, dashed, values }) => {
    const last = values.findLast((value) => value !== null)
    const most = Math.max(...values.filter((value): value is number => value !== null))
    const told = last === undefined || last === null ? '' : ` <small>most ${escapeText(options.format(most))}</small>`
    return `<li class="c${colour}"><i class="swatch${dashed ? ' dashed' : ''}"></i>${escapeText(name)}${told}</li>`
  })
  return `<figure class="card"><figcaption>${escapeText(options.title)}</figcaption>${renderChart(options)}<ul class="legend">${legend.join('')}</ul></figure>`
}

function latencyTable({ stored, published, acknowledged, lateMsP99, medianSecondP99 }: SuiteResult): string {
  const row = (name: string, { p50, p95, p99, p999, max }: Latencies) =>
    `<tr><th scope="row">${name}</th>${[p50, p95, p99, p999, max].map((value) => `<td>${ms(value)}</td>`).join('')}</tr>`
  const rows = [
    row('to acknowledged', acknowledged),
    row('to stored', stored),
    ...(published === null ? [] : [row('to published', published)]),
  ]
  return `<div class="card wide"><h3>From when an event was due</h3><table><thead><tr><th scope="col"></th>${['p50', 'p95', 'p99', 'p99.9', 'max'].map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table><p class="quiet">The median second has a p99 of ${ms(medianSecondP99)}. The sender itself was late by ${ms(lateMsP99)} (p99), which is in all of these.</p></div>`
}

function processTable({ cpuSecondsPerMillion, memoryPeak, seconds }: SuiteResult): string {
  const names = Object.keys(memoryPeak)
  const rows = names.map((name) => {
    const cpu = cpuSecondsPerMillion[name]
    return `<tr><th scope="row">${escapeText(name)}</th><td>${cpu === undefined ? '-' : `${cpu.toFixed(1)} s`}</td><td>${bytes(memoryPeak[name] ?? Number.NaN)}</td></tr>`
  })
  return `<div class="card wide"><h3>Processes, over ${clockText(seconds)}</h3><table><thead><tr><th scope="col"></th><th scope="col">CPU per million events</th><th scope="col">highest memory</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}

function readersTable({ readers }: SuiteResult): string {
  if (readers === null) return ''
  const rows = readRows(readers).map(
    ([what, many, p50, p99]) =>
      `<tr><th scope="row">${escapeText(what)}</th><td>${count(many)}</td><td>${ms(p50)}</td><td>${ms(p99)}</td></tr>`,
  )
  return `<div class="card wide"><h3>Readers beside it</h3><table><thead><tr><th scope="col"></th><th scope="col">how many</th><th scope="col">p50</th><th scope="col">p99</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}

const style = `
:root{--paper:#f6f7f9;--card:#fff;--ink:#1a1f27;--quiet:#667085;--rule:#e3e7ee;--good:#0f7b4f;--good-bg:#dff5ea;--bad:#b42318;--bad-bg:#fde8e6;
--c0:#98a2b3;--c1:#2563eb;--c2:#c2600a;--c3:#0d8f83;--c4:#c11574;--c5:#6d3bd6;--c6:#4d7c0f;--c7:#0284c7;--c8:#a16207}
@media (prefers-color-scheme:dark){:root{--paper:#0e1117;--card:#171c25;--ink:#e6e9ef;--quiet:#95a0b2;--rule:#2a3240;--good:#5fd3a0;--good-bg:#123527;--bad:#ff8f85;--bad-bg:#42201d;
--c0:#76829a;--c1:#7aa7ff;--c2:#f5a155;--c3:#45cfc1;--c4:#f783bd;--c5:#b49bff;--c6:#a9d65b;--c7:#5cc3f5;--c8:#e2c15a}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:20px 16px 40px;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.5rem;margin:0;display:inline-block}h2{font-size:1.15rem;margin:0 0 .5rem}h3{font-size:1rem;margin:0 0 .5rem}
header{margin-bottom:16px}header p{margin:.3rem 0}
.verdict{display:inline-block;margin-left:12px!important;padding:2px 12px;border-radius:999px;font-weight:700}
.verdict.good,.badge.good{color:var(--good);background:var(--good-bg)}.verdict.bad,.badge.bad{color:var(--bad);background:var(--bad-bg)}
.missed{color:var(--bad);margin:.5rem 0;padding-left:1.2rem}
.quiet,small{color:var(--quiet);font-size:.85rem}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:14px;margin:0 0 14px;min-width:0}
.suite{margin-top:28px}.suite>p{margin:.2rem 0 .6rem}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(120px,1fr));gap:10px}
.figure b{display:block;font-size:1.2rem;font-variant-numeric:tabular-nums}.figure span{color:var(--quiet);font-size:.85rem}
.figure.good b{color:var(--good)}.figure.bad b{color:var(--bad)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:5px 9px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}
th:first-child{text-align:left}thead th{color:var(--quiet);font-weight:500;font-size:.85rem}tbody tr:last-child th,tbody tr:last-child td{border-bottom:0}
a{color:inherit}
.badge{display:inline-block;padding:0 8px;border-radius:999px;font-size:.8rem;font-weight:600;background:var(--rule);vertical-align:2px}
.goals{list-style:none;padding:0;margin:0 0 12px}.goals li{margin:3px 0}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:14px;align-items:start}
.charts>.card{margin:0}.charts+.charts{margin-top:14px}
figure{margin:0}figcaption{font-weight:600;margin-bottom:6px}
svg{display:block;width:100%;height:auto}
.grid{stroke:var(--rule);stroke-width:1}.tick{fill:var(--quiet);font-size:11px}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}.line.dashed{stroke-dasharray:2 5}
.limit{stroke:var(--bad);stroke-width:1.2;stroke-dasharray:6 4}.limit-name{fill:var(--bad);stroke:none}
.moment{fill:transparent}.moment:hover{fill:var(--ink);fill-opacity:.07}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:2px 14px;margin:8px 0 0;padding:0;font-size:.85rem}
.swatch{display:inline-block;width:14px;height:0;border-top:3px solid currentColor;border-radius:2px;margin-right:6px;vertical-align:4px}.swatch.dashed{border-top-style:dotted}
${Array.from({ length: 9 }, (_, n) => `.line.c${n}{stroke:var(--c${n})}.legend .c${n} .swatch{color:var(--c${n})}`).join('')}
footer{margin-top:24px}
@media (max-width:560px){.tick{font-size:14px}th,td{padding:5px 6px}}
@media print{body{background:#fff}.card{break-inside:avoid}}
`
