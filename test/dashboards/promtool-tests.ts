/** The file that `promtool test rules` reads, made from the cases: JSON, which is YAML. */
import { cases, type Situation } from './alert-cases.ts'

const interval = '15s'

export function promtoolTests(ruleFiles: readonly string[]): string {
  const tests = Object.entries(cases).flatMap(([key, { fires, quiet }]) => [
    ...fires.map((one, index) => testOf(key, `fires ${index + 1}`, one, [{ labels: '{}', value: 1 }])),
    ...quiet.map((one, index) => testOf(key, `quiet ${index + 1}`, one, [])),
  ])
  return JSON.stringify({ rule_files: ruleFiles, evaluation_interval: interval, tests }, null, 1)
}

/** Prometheus itself keeps the series ALERTS of whatever fires. */
function testOf(key: string, what: string, { at, series }: Situation, samples: readonly object[]): object {
  const [alertname, severity] = key.split(' ')
  const firing = `ALERTS{alertname="${alertname}",severity="${severity}",alertstate="firing"}`
  return {
    name: `${key}, ${what}`,
    interval,
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: [{ expr: `count(${firing}) > bool 0`, eval_time: at, exp_samples: samples }],
  }
}
