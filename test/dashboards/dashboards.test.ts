/** What is in dashboards/ is whole and agrees with the code: no query names a metric that nobody tells, no alert is without its page. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import definition from '../../consumers/cloud-events.ts'
import { runbookOf, teams } from '../../dashboards/alerts/alert.ts'
import { recording } from '../../dashboards/alerts/recording.ts'
import { alerts } from '../../dashboards/alerts/rules.ts'
import { exporters } from '../../dashboards/exporters.ts'
import { boards, generated } from '../../dashboards/generated.ts'
import { boardJson } from '../../dashboards/grafana/board.ts'
import { codes } from '../../src/core/errors.ts'
import { rooms } from '../../src/core/marks.ts'
import { seriesNames } from '../../src/core/metrics.ts'
import { rows } from '../../src/core/settings-table.ts'
import { createLogger } from '../../src/process/log.ts'
import { cases } from './alert-cases.ts'
import { groupedBy, namedIn } from './promql.ts'

const root = join(import.meta.dirname, '../..')
const folder = join(root, 'dashboards')

/** Every series that anybody tells, with its labels. */
const known = new Map<string, readonly string[]>([
  ...[...seriesNames(definition.metrics)].map(([name, { labels }]): [string, readonly string[]] => [name, labels]),
  ...Object.values(exporters).flatMap(({ metrics }) => Object.entries(metrics)),
])
/** A recorded series has the labels it is grouped by, or without a grouping those of what it is made of. */
for (const [name, expr] of recording) {
  const grouped = groupedBy(expr)
  known.set(name, grouped.length > 0 ? grouped : namedIn(expr).flatMap(({ metric }) => known.get(metric) ?? []))
}
/** Of the scrape, and of buckets. */
const always = ['job', 'instance', 'consumer', 'le', 'quantile']

const queries = [
  ...recording.map(([name, expr]) => ({ where: name, expr })),
  ...alerts.map(({ name, expr }) => ({ where: name, expr })),
  ...Object.entries(boards).flatMap(([name, board]) =>
    board.rows.flatMap(({ panels }) =>
      panels.flatMap((panel) => panel.queries.map(([expr]) => ({ where: `${name}: ${panel.title}`, expr }))),
    ),
  ),
]

test('files written by a program are as it writes them', () => {
  for (const [path, text] of Object.entries(generated())) {
    assert.equal(readFileSync(join(folder, path), 'utf8'), text, `${path}: renew it by npm run dashboards`)
  }
  const written = readdirSync(join(folder, 'grafana/json')).sort()
  assert.deepEqual(
    written,
    Object.keys(boards)
      .map((name) => `${name}.json`)
      .sort(),
  )
})

test('every query names only metrics that somebody tells, by labels that they have', () => {
  const wrong = queries.flatMap(({ where, expr }) =>
    namedIn(expr).flatMap(({ metric, labels }) => {
      const own = known.get(metric)
      if (own === undefined) return [`${where}: there is no ${metric}`]
      return labels
        .filter((label) => !own.includes(label) && !always.includes(label))
        .map((label) => `${where}: ${metric} has no label ${label}`)
    }),
  )
  assert.deepEqual(wrong, [])
})

test('every query groups by labels that one of its metrics has', () => {
  const wrong = queries.flatMap(({ where, expr }) => {
    const own = new Set(namedIn(expr).flatMap(({ metric }) => known.get(metric) ?? []))
    return groupedBy(expr)
      .filter((label) => !own.has(label) && !always.includes(label))
      .map((label) => `${where}: by ${label}`)
  })
  assert.deepEqual(wrong, [])
})

test('every exporter metric on the list is used, and every recording rule', () => {
  const used = new Set(queries.flatMap(({ expr }) => namedIn(expr).map(({ metric }) => metric)))
  const listed = [
    ...Object.values(exporters).flatMap(({ metrics }) => Object.keys(metrics)),
    ...recording.map(([n]) => n),
  ]
  assert.deepEqual(
    listed.filter((name) => !used.has(name)),
    [],
  )
})

test('every alert has its runbook, every runbook its alert, and each says what it means, what to look at, what to do', () => {
  const pages = [...new Set(alerts.map(({ name }) => runbookOf(name)))].sort()
  const there = readdirSync(join(root, 'docs/runbooks'))
    .filter((file) => file !== 'README.md')
    .map((file) => `docs/runbooks/${file}`)
  assert.deepEqual(there.sort(), pages)
  for (const { name } of alerts) {
    const text = readFileSync(join(root, runbookOf(name)), 'utf8')
    assert.ok(text.startsWith(`# ${name}\n`), runbookOf(name))
    for (const part of ['What it means', 'What to look at', 'What to do']) {
      assert.ok(text.includes(`\n## ${part}\n`), `${runbookOf(name)}: ${part}`)
    }
  }
  const index = readFileSync(join(root, 'docs/runbooks/README.md'), 'utf8')
  for (const page of pages) assert.ok(index.includes(`(${basename(page)})`), page)
})

test('runbooks name commands, error codes, settings and pages that exist', () => {
  const main = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /^main\.ts$|flags\.ts$/.test(file))
    .map((file) => readFileSync(join(root, 'src', file), 'utf8'))
    .join('\n')
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  for (const file of readdirSync(join(root, 'docs/runbooks'))) {
    const text = readFileSync(join(root, 'docs/runbooks', file), 'utf8')
    for (const [, command = '', rest = ''] of text.matchAll(/npx millrace ([a-z]+)([^\n`]*)/g)) {
      assert.ok(
        new RegExp(`\\| \`${command}\\b|'${command}\\b`).test(`${readme}\n${main}`),
        `${file}: millrace ${command}`,
      )
      for (const [flag] of rest.matchAll(/--[a-z-]+/g)) assert.ok(main.includes(flag), `${file}: ${command} ${flag}`)
    }
    for (const [code] of text.matchAll(/\b(KAFKA|POSTGRES|REDIS|TOPIC|STREAM|RETENTION|REJECT)_[A-Z_]+\b/g)) {
      assert.ok(code in codes, `${file}: ${code}`)
    }
    for (const [setting] of text.matchAll(/\bMILLRACE_[A-Z_]+\b/g))
      assert.ok(readme.includes(setting), `${file}: ${setting}`)
    for (const [, link = ''] of text.matchAll(/\]\(([^)#]+)[^)]*\)/g)) {
      assert.ok(existsSync(join(root, 'docs/runbooks', link)), `${file}: ${link}`)
    }
  }
})

test('every alert, by severity, has situations in which it fires and in which it does not', () => {
  assert.deepEqual(Object.keys(cases).sort(), alerts.map(({ name, severity }) => `${name} ${severity}`).sort())
  for (const [key, { fires, quiet }] of Object.entries(cases)) assert.ok(fires.length > 0 && quiet.length > 0, key)
})

test('a name that comes twice escalates: first the warning, then critical, for the same team', () => {
  for (const name of new Set(alerts.map((alert) => alert.name))) {
    const own = alerts.filter((alert) => alert.name === name)
    assert.ok(own.length <= 2, name)
    if (own.length === 2)
      assert.deepEqual(
        own.map(({ severity }) => severity),
        ['warning', 'critical'],
        name,
      )
    assert.equal(new Set(own.map(({ team }) => team)).size, 1, name)
  }
})

test('Alertmanager has a receiver for every team and for who is on call', () => {
  const text = readFileSync(join(folder, 'alertmanager/alertmanager.yml'), 'utf8')
  for (const name of [...teams, 'oncall']) assert.ok(text.includes(`- name: ${name}\n`), name)
  const names = new Set(alerts.map((alert) => alert.name))
  assert.doesNotMatch(text.replaceAll(/^#.*$/gm, ''), /RetentionHeadroom/, 'retention runs on, whatever the cause')
  for (const [, list = ''] of text.matchAll(/alertname =~? "([^"]+)"/g)) {
    for (const one of list.split('|')) assert.ok(names.has(one), `alertmanager.yml inhibits by ${one}`)
  }
})

test('everything that Prometheus asks, and Grafana, stands in compose/observe.yaml, and every exporter there is asked', () => {
  const services = [...readFileSync(join(root, 'compose/observe.yaml'), 'utf8').matchAll(/^ {2}([a-z-]+):$/gm)].map(
    ([, name]) => name as string,
  )
  const scrape = readFileSync(join(folder, 'prometheus/prometheus.yml'), 'utf8')
  const asked = [...scrape.matchAll(/(?:targets: \[|replacement: )([a-z-]+):\d+/g)].map(([, host]) => host as string)
  for (const host of asked) assert.ok(host === 'localhost' || services.includes(host), host)
  for (const name of services.filter((one) => one.endsWith('-exporter'))) assert.ok(asked.includes(name), name)
  const sources = [
    'grafana/provisioning/datasources/prometheus.yml',
    'grafana/provisioning/datasources/traces-and-logs.yml',
  ]
  const served = [...sources, 'loki/config.alloy'].flatMap((file) => [
    ...readFileSync(join(folder, file), 'utf8').matchAll(/url += +"http:\/\/([a-z-]+):|url: http:\/\/([a-z-]+):/g),
  ])
  assert.equal(served.length, 4)
  for (const [, one, other] of served) assert.ok(services.includes((one ?? other) as string), one ?? other)
})

test('logs and traces come to where compose/observe.yaml takes them', () => {
  const compose = readFileSync(join(root, 'compose/observe.yaml'), 'utf8')
  const { port } = new URL(rows.otlpEndpoint.byDefault as string)
  assert.ok(compose.includes(`127.0.0.1:\${MILLRACE_OTLP_PORT:-${port}}:${port}`))
  const alloy = readFileSync(join(folder, 'loki/config.alloy'), 'utf8')
  // The fields of a line, by the names that the log gives them.
  const lines: string[] = []
  const settings = { logLevel: 'info', logFormat: 'json' } as const
  createLogger({ settings, consumer: 'c', replica: 'r', write: (line) => lines.push(line) }).info('x')
  const fields = Object.keys(JSON.parse(lines[0] as string))
  const namesIn = (text = ''): string[] => text.match(/\w+(?= =)/g) ?? []
  const read = namesIn(/expressions = \{(.*)\}/.exec(alloy)?.[1])
  for (const name of read.filter((one) => one !== 'code' && one !== 'trace_id')) assert.ok(fields.includes(name), name)
  for (const [, values] of alloy.matchAll(/values = \{(.*)\}/g))
    for (const name of namesIn(values)) assert.ok(read.includes(name), name)
})

test('flow has the five rooms side by side, in their order', () => {
  const rows = boards.flow!.rows.map(({ panels }) => panels)
  const heads = rows.find((panels) => panels.every(({ kind }) => kind === 'text'))
  assert.deepEqual(
    heads?.map(({ title }) => title),
    rooms,
  )
  const asked = rows.filter((panels) => panels.every(({ queries }) => queries.some(([expr]) => /room="/.test(expr))))
  assert.ok(asked.length >= 3)
  for (const panels of asked) {
    assert.deepEqual(
      panels.map(({ queries }) => /room="(\w+)"/.exec(queries[0]![0])?.[1]),
      rooms,
    )
  }
})

test('the panels of every dashboard fill their rows, and each has a place of its own', () => {
  for (const [name, board] of Object.entries(boards)) {
    const { panels } = JSON.parse(boardJson(board)) as { panels: { id: number; gridPos: Record<string, number> }[] }
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length, name)
    for (const y of new Set(panels.map(({ gridPos }) => gridPos.y))) {
      const own = panels.map(({ gridPos }) => gridPos).filter((place) => place.y === y)
      assert.equal(
        own.reduce((sum, { w = 0 }) => sum + w, 0),
        24,
        `${name}, row at ${y}`,
      )
      assert.deepEqual(
        own.map(({ x }) => x),
        own.map((_, index) => own.slice(0, index).reduce((sum, { w = 0 }) => sum + w, 0)),
      )
    }
  }
})

test('names and labels are found in PromQL', () => {
  const expr = `sum by (consumer, room) (rate(a_total{state="x{y}",room=~"p|q"}[5m])) / on (b) group_left (c) (d:e:f > 0)
and avg_over_time(g[1h] offset 10m) > bool 6 * 3600 or absent(up{job="m"}) unless h{} == 1e3`
  assert.deepEqual(namedIn(expr), [
    { metric: 'a_total', labels: ['state', 'room'] },
    { metric: 'd:e:f', labels: [] },
    { metric: 'g', labels: [] },
    { metric: 'up', labels: ['job'] },
    { metric: 'h', labels: [] },
  ])
  assert.deepEqual(groupedBy(expr), ['consumer', 'room', 'b', 'c'])
  assert.deepEqual(namedIn('rate(x_bucket{le="+Inf"}[$__rate_interval])'), [{ metric: 'x_bucket', labels: ['le'] }])
})
