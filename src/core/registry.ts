/**
 * A small registry over prom-client. Nothing here is called per record: a room holds its counters and adds once per batch; latencies are recorded
 * into a LatencyHistogram and become Prometheus buckets only when somebody scrapes.
 */

import type { Metric } from 'prom-client'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { LatencyHistogram, type Sample, samplesOf } from './latency.ts'
import {
  type CounterName,
  fullName,
  type GaugeName,
  type HistogramName,
  type Labels,
  type LabelsOf,
  type MetricName,
  type MetricRow,
  metricRows,
} from './metrics.ts'
import type { Series } from './tally.ts'

export interface Counter {
  value: number
  add(amount?: number): void
}
export interface Gauge {
  value: number
  set(value: number): void
}

export interface Metrics {
  /** The counter itself, to be held: adding is an addition. */
  counter<N extends CounterName>(name: N, ...labels: LabelsOf<N>): Counter
  gauge<N extends GaugeName>(name: N, ...labels: LabelsOf<N>): Gauge
  /** Instead of cells: read when somebody asks. What a gauge no longer yields is no longer shown; a counter must not forget. */
  observe<N extends GaugeName | CounterName>(
    name: N,
    read: () => Iterable<readonly [labels: Labels<N>, value: number]>,
  ): void
  histogram(name: HistogramName): LatencyHistogram
  /** What a consumer file has declared, under its own names. */
  include(series: readonly Series[]): void
  /** The sum over all labels that match. */
  sum<N extends CounterName | GaugeName>(name: N, where?: Partial<Labels<N>>): number
  /** The values of a counter by one label: rejects by code, for example. */
  by<N extends CounterName>(name: N, label: keyof Labels<N> & string): Record<string, number>
  render(): Promise<string>
  readonly contentType: string
}

type Cell = { readonly labels: Readonly<Record<string, string | number>>; value: number }

export function createMetrics(options: { processMetrics?: boolean } = {}): Metrics {
  const registry = new Registry()
  const cells = new Map<string, Map<string, Cell>>()
  const readers = new Map<string, () => Iterable<readonly [Cell['labels'], number]>>()
  const histograms = new Map<string, LatencyHistogram>()

  for (const [name, row] of Object.entries<MetricRow>(metricRows)) {
    const own = new Map<string, Cell>()
    cells.set(name, own)
    if (row.type === 'histogram') histograms.set(name, new LatencyHistogram())
    else if (row.labels.length === 0 && row.type === 'counter') own.set('', newCell({}))
    register(fullName(name as MetricName), row, () =>
      row.type === 'histogram'
        ? samplesOf(histograms.get(name)!, row.buckets ?? [], row.scale ?? 1)
        : valuesOf(name).map(({ labels, value }) => ({ suffix: '', labels, value })),
    )
  }
  if (options.processMetrics ?? true) collectDefaultMetrics({ register: registry })

  /** prom-client renders whatever has a name and a get(); its own classes would cost a hash per addition. */
  function register(name: string, { help, type }: { help: string; type: string }, read: () => Sample[]): void {
    const metric = { name, help, type, aggregator: 'sum', values: [] }
    const values = () =>
      read().map(({ suffix, labels, value }) => ({ labels, value, ...(suffix && { metricName: name + suffix }) }))
    registry.registerMetric({ ...metric, get: async () => ({ ...metric, values: values() }) } as unknown as Metric)
  }

  function cell(name: MetricName, labels: Cell['labels'] = {}): Cell & Counter & Gauge {
    const row: MetricRow = metricRows[name]
    const key = row.labels.map((label) => String(labels[label])).join('\u0000')
    const own = cells.get(name)!
    const known = own.get(key) ?? newCell(labels)
    own.set(key, known)
    return known as Cell & Counter & Gauge
  }

  function valuesOf(name: string): Cell[] {
    const read = readers.get(name)
    if (read === undefined) return [...cells.get(name)!.values()]
    return Array.from(read(), ([labels, value]) => ({ labels, value }))
  }

  const matching = (name: MetricName, where: Readonly<Record<string, unknown>>) =>
    valuesOf(name).filter((own) =>
      Object.entries(where).every(([label, value]) => String(own.labels[label]) === String(value)),
    )

  return {
    counter: (name, ...labels) => cell(name, labels[0] as Cell['labels'] | undefined),
    gauge: (name, ...labels) => cell(name, labels[0] as Cell['labels'] | undefined),
    observe: (name, read) => void readers.set(name, read as () => Iterable<readonly [Cell['labels'], number]>),
    histogram: (name) => histograms.get(name)!,
    include: (series) => {
      for (const one of series) register(one.name, one, () => one.read())
    },
    sum: (name, where = {}) => matching(name, where).reduce((total, own) => total + own.value, 0),
    by: (name, label) => {
      const totals: Record<string, number> = {}
      for (const own of valuesOf(name)) {
        const key = String(own.labels[label])
        totals[key] = (totals[key] ?? 0) + own.value
      }
      return totals
    },
    render: () => registry.metrics(),
    contentType: registry.contentType,
  }
}

function newCell(labels: Cell['labels']): Cell & Counter & Gauge {
  return {
    labels,
    value: 0,
    add(amount = 1) {
      this.value += amount
    },
    set(value) {
      this.value = value
    },
  }
}
