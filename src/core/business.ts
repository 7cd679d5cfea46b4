/**
 * What a consumer file counts of its events, declared and not programmed: pure functions of an event's type or source, over a declared list of values,
 * so that no label can grow without bound (anything else is `other`). How it is counted is tally.ts's.
 */

/** Counts events; those for which `of` answers null (or false, without a label) are left out. */
export interface EventCounter {
  readonly name: string
  readonly help: string
  readonly label?: string
  /** All values of the label; what `of` answers besides is counted under `other`. */
  readonly values?: readonly string[]
  /** What `of` is told: the event's type, unless said otherwise. */
  readonly by?: 'type' | 'source'
  /** Pure, and asked once per batch for each type (or source) in it. Where it throws, the event is `other`. */
  readonly of?: (text: string) => string | boolean | null
}

/** Measures all events alike: from Kafka's answer to COMMIT, events stored a second, bytes of the record's value. */
export interface EventMeasure {
  readonly name: string
  readonly help: string
  readonly measure: 'processing_seconds' | 'events_per_second' | 'event_bytes'
}

export type BusinessMetric = EventCounter | EventMeasure

const measures = {
  processing_seconds: { type: 'histogram', unit: 'seconds' },
  events_per_second: { type: 'gauge', unit: 'events per second' },
  event_bytes: { type: 'summary', unit: 'bytes' },
} as const

export const otherValue = 'other'
const valuesMax = 200

/** Throws TypeError for a declaration that makes no sense. */
export function checkBusiness(metrics: readonly BusinessMetric[]): void {
  const names = new Set<string>()
  for (const metric of metrics) {
    const { name } = metric
    const wrong = (why: string) => new TypeError(`metric '${name}': ${why}`)
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw wrong('use lower-case letters, digits and _')
    if (/^(millrace|process|nodejs)_/.test(name)) throw wrong('this prefix is taken')
    if (names.has(name)) throw wrong('it is declared twice')
    names.add(name)
    if ('measure' in metric) continue
    const { label, values, of } = metric
    if (!name.endsWith('_total')) throw wrong('the name of a counter ends in _total')
    if ((label === undefined) !== (values === undefined)) throw wrong('a label and its values belong together')
    if (label === undefined) continue
    if (!/^[a-z][a-z0-9_]*$/.test(label) || label === 'le' || label === 'quantile') throw wrong(`no label '${label}'`)
    if (of === undefined) throw wrong('say by `of` which value an event has')
    if (values?.length === 0 || (values?.length ?? 0) > valuesMax) throw wrong(`list 1 to ${valuesMax} values`)
    if (new Set(values).size !== values?.length || values.includes(otherValue))
      throw wrong(`values are different, and none is '${otherValue}'`)
  }
}

/** As the README and the checks of dashboards see them. */
export function businessSeries(metrics: readonly BusinessMetric[]) {
  return metrics.map((metric) =>
    'measure' in metric
      ? { ...measures[metric.measure], name: metric.name, labels: [], help: metric.help }
      : {
          type: 'counter',
          unit: 'events',
          name: metric.name,
          labels: metric.label === undefined ? [] : [metric.label],
          help: metric.help,
        },
  )
}
