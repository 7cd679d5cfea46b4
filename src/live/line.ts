/** The live view where there is no terminal: one plain line a second. */
import { count } from '../core/count.ts'
import type { Picture } from './picture.ts'
import { milliseconds } from './style.ts'
import { narrowest } from './verdict.ts'

export function renderLine(picture: Picture): string {
  const { load, stored, published, totals, rooms, lagRecords, lagSeconds } = picture
  const narrow = narrowest(picture)
  const working = rooms.find(({ room }) => room === narrow?.room)?.working ?? null
  const quantiles = ({ p50, p95, p99 }: { p50: number; p95: number; p99: number }) =>
    `${milliseconds(p50)} / ${milliseconds(p95)} / ${milliseconds(p99)}`
  const parts = [
    `${(picture.elapsedMs / 1000).toFixed(1).padStart(6)} s`,
    picture.phase,
    ...(load === null ? [] : [`in ${count(load.perSecond)}/s`]),
    `stored ${count(picture.storedPerSecond)}/s`,
    ...(picture.publishes ? [`published ${count(picture.publishedPerSecond)}/s`] : []),
    `lag ${lagSeconds.toFixed(1)} s (${count(lagRecords)})`,
    `to stored ${quantiles(stored)}`,
    ...(picture.publishes ? [`to published ${quantiles(published)}`] : []),
    `batch ${count(Number.isNaN(picture.batchRows.p50) ? 0 : picture.batchRows.p50)} rows`,
    `rejects ${count(totals.rejects)}`,
    ...(narrow !== null && working !== null
      ? [`${narrow.isLimit ? 'bottleneck' : 'busiest'} ${narrow.room} ${Math.round(working * 100)} %`]
      : []),
    ...(load !== null && load.failed > 0 ? [`${count(load.failed)} not sent`] : []),
    ...(picture.unassigned > 0 ? [`unassigned ${picture.unassigned}`] : []),
    ...(picture.restarts > 0 ? [`restarts ${picture.restarts}`] : []),
    ...(totals.fenced > 0 ? [`fenced ${totals.fenced}`] : []),
  ]
  return parts.join('  ')
}
