/** Words that all dashboards share, so that the same figure is asked for in the same way everywhere. */
import { type Room, rooms } from '../../src/core/marks.ts'
import { roomColours as colours } from '../../src/live/colours.ts'

export { rooms }

/** On a dark ground, as on the fleet page. */
export const roomColours = Object.fromEntries(rooms.map((room) => [room, colours[room].dark])) as Record<Room, string>

/** The metric of the consumer that was chosen; `more` are further matchers. */
export const of = (metric: string, more = ''): string =>
  `${metric}{consumer=~"$consumer"${more === '' ? '' : `,${more}`}}`

export const rate = (metric: string, more = ''): string => `rate(${of(metric, more)}[$__rate_interval])`

export const sum = (expr: string, by = ''): string => (by === '' ? `sum(${expr})` : `sum by (${by}) (${expr})`)
export const max = (expr: string, by = ''): string => (by === '' ? `max(${expr})` : `max by (${by}) (${expr})`)
export const min = (expr: string, by = ''): string => (by === '' ? `min(${expr})` : `min by (${by}) (${expr})`)

/** Of a histogram. */
export const quantile = (share: number, metric: string): string =>
  `histogram_quantile(${share}, ${sum(rate(`${metric}_bucket`), 'le')})`

/** The usual three. */
export const quantiles = (metric: string): [string, string][] => [
  [quantile(0.5, metric), 'p50'],
  [quantile(0.95, metric), 'p95'],
  [quantile(0.99, metric), 'p99'],
]
