/** What `millrace replay` shows. */
import { count } from '../core/count.ts'
import { formatDuration } from '../core/duration.ts'
import { shownTime, targetName } from './description.ts'
import type { Speed } from './pace.ts'
import type { Progress } from './port.ts'
import type { Estimate } from './source.ts'
import type { StoredReplay } from './store.ts'

const shownSpeed = (speed: Speed): string =>
  speed === 'max' || speed === 'step' ? speed : speed === 1 ? 'real time' : `${speed}x`

export function shownBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

/** Seconds are enough for people, beyond the first ten. */
const shownSpan = (ms: number): string => formatDuration(ms < 10_000 ? ms : Math.round(ms / 1000) * 1000)

const barWidth = 20

export function progressLine(progress: Progress, columns: number): string {
  const { share, events, perSecond, etaMs, atMs, speed, lateMs, state, givesWay } = progress
  const filled = Math.min(barWidth, Math.floor(share * barWidth))
  const parts = [
    `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${String(Math.floor(share * 100)).padStart(3)} %`,
    `${count(events)} events`,
    state === 'paused' ? `paused (${shownSpeed(speed)})` : `${count(perSecond)}/s, ${shownSpeed(speed)}`,
    ...(atMs === null ? [] : [`at ${shownTime(atMs)}`]),
    ...(etaMs === null ? [] : [`${shownSpan(Math.max(1000, Math.round(etaMs / 1000) * 1000))} left`]),
    ...(givesWay ? ['gives way: the cores are full'] : []),
    ...(lateMs >= 1000 ? [`${shownSpan(lateMs)} late`] : []),
  ]
  return parts.join('  ').slice(0, Math.max(20, columns - 1))
}

export function resultText(progress: Progress, target: string): string {
  const { id, events, bytes, fromPostgres, fromKafka, elapsedMs, state } = progress
  const from = [
    ...(fromPostgres > 0 ? [`${count(fromPostgres)} from PostgreSQL`] : []),
    ...(fromKafka > 0 ? [`${count(fromKafka)} from Kafka`] : []),
  ].join(', ')
  const head = `${count(events)} events (${shownBytes(bytes)}) into ${target}${from === '' ? '' : `; now ${from}`}, ${shownSpan(elapsedMs)}`
  if (state === 'done') return `Replay ${id}: ${head}.\n`
  if (state === 'cancelled') return `Replay ${id} was given up after ${head}.\n`
  return `Replay ${id} stopped after ${head}.\n${howToResume(id)}`
}

export const howToResume = (id: string): string =>
  `Go on with it: millrace replay --resume ${id}; or give it up: millrace replay --discard ${id}\n`

export function estimateText(estimate: Estimate): string {
  const { events, bytes, exact, postgres, kafka, firstMs, lastMs } = estimate
  const about = exact ? '' : 'about '
  const from = [
    ...(postgres > 0 ? [`${count(postgres)} from PostgreSQL`] : []),
    ...(kafka > 0 ? [`${exact ? '' : 'up to '}${count(kafka)} from Kafka`] : []),
  ]
  const between =
    firstMs === null
      ? ''
      : `, ${lastMs === null ? `from ${shownTime(firstMs)} on` : `${shownTime(firstMs)} to ${shownTime(lastMs)}`}`
  return `${about}${count(events)} events, about ${shownBytes(bytes)}${from.length > 0 ? `: ${from.join(', ')}` : ''}${between}.\n`
}

export function listText(replays: readonly StoredReplay[]): string {
  if (replays.length === 0) return 'There are no replays.\n'
  const lines = replays.map(({ description, state, saved, savedAt, failure, held }) => {
    const { after } = saved?.position ?? { after: null }
    const at = after === null ? 'nowhere yet' : `at ${shownTime(Math.floor(after.micros / 1000))}`
    const events = count(saved?.events ?? 0).padStart(12)
    const how = state === 'running' && !held ? 'interrupted' : state
    return `${description.id.padEnd(24)} ${how.padEnd(11)} ${events} events, ${at}, ${savedAt.toISOString()}  ${targetName(description)}${failure === null ? '' : `\n    ${failure}`}`
  })
  return `${lines.join('\n')}\n`
}
