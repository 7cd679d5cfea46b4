/** The examples for Kubernetes speak of metrics that exist, and of the same limits as the code. What the rule yields is tried by promtool: scaling.yml. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { seriesNames } from '../../src/core/metrics.ts'
import { behindSeconds, stretchedFrom } from '../../src/core/replicas.ts'

const folder = join(import.meta.dirname, '../../dashboards/kubernetes')
const read = (name: string) => readFileSync(join(folder, name), 'utf8')
/** Recorded by the rule, and as the adapter hands it on. */
const recorded = ['millrace:wanted_replicas', 'millrace_wanted_replicas']

test('every metric that the examples name exists', () => {
  const names = seriesNames()
  let found = 0
  for (const file of readdirSync(folder)) {
    for (const [name] of read(file).matchAll(/\bmillrace[_:]\w+/g)) {
      found++
      assert.ok(names.has(name) || recorded.includes(name), `${file}: ${name}`)
    }
  }
  assert.ok(found > 8)
})

test('the rule is behind, and stretched, from where the code is', () => {
  const rules = read('rules.yml')
  assert.match(rules, new RegExp(`millrace_lag_seconds\\) >= ${behindSeconds}\\n`))
  assert.match(rules, new RegExp(`millrace_room_stretch\\) < ${stretchedFrom}\\n`))
})
