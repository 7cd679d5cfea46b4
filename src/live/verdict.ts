/**
 * What a picture comes to, in sentences. They hold no figure that changes from second to second: a screen reader says them anew whenever they change,
 * and a person at three in the morning wants to know what is wrong before how much. Pure.
 */
import type { Room } from '../core/marks.ts'
import type { Picture } from './picture.ts'

export interface Judgement {
  readonly mood: 'good' | 'warn' | 'bad'
  readonly text: string
  /** All that is not as it should be, the worst first. */
  readonly troubles: readonly string[]
}

const lateSeconds = 10
const veryLateSeconds = 60

export const lagMood = (seconds: number): Judgement['mood'] =>
  seconds >= veryLateSeconds ? 'bad' : seconds >= lateSeconds ? 'warn' : 'good'

const namedMax = 5

export function judge(picture: Picture): Judgement {
  const { replicas, partitions, unassigned, lagSeconds } = picture
  const bad: string[] = []
  const warn: string[] = []
  const serving = replicas.filter(({ state }) => state === null)
  if (serving.length === 0)
    bad.push(replicas.length === 1 ? `${replicas[0]?.name} does not serve` : 'No replica serves')
  const stopped = partitions.filter((partition) => partition.stopped !== null)
  for (const code of new Set(stopped.map((partition) => partition.stopped?.code))) {
    const some = stopped.filter((partition) => partition.stopped?.code === code)
    bad.push(`${numbered(some)} stopped until somebody decides: ${code}`)
  }
  const lag = lagMood(lagSeconds)
  if (lag === 'bad') bad.push('Records wait for more than a minute to be stored')
  else if (lag === 'warn') warn.push(`Records wait for more than ${lateSeconds} s to be stored`)
  if (serving.length > 0)
    for (const { name, state } of replicas) if (state !== null) warn.push(`${name} does not serve`)
  if (unassigned > 0) warn.push('Some partitions are carried by none of these replicas')
  for (const { name, reasons } of replicas) {
    // Of stopped partitions the list above tells already, and times in a reason change all the time.
    const others = reasons.filter((reason) => !/^partition \d+ is stopped/.test(reason))
    if (others.length > 0) warn.push(`${name}: ${others.map((reason) => reason.replace(/ for \d+ s$/, '')).join('; ')}`)
  }
  const troubles = [...bad, ...warn]
  if (troubles.length === 0) return { mood: 'good', text: 'All is well', troubles }
  return { mood: bad.length > 0 ? 'bad' : 'warn', text: troubles[0] as string, troubles }
}

function numbered(some: Picture['partitions']): string {
  const named = some.slice(0, namedMax).map(({ partition }) => partition)
  const more = some.length > namedMax ? ` and ${some.length - namedMax} more` : ''
  return `${some.length === 1 ? 'Partition' : 'Partitions'} ${named.join(', ')}${more} ${some.length === 1 ? 'is' : 'are'}`
}

/** The room to look at: one that limits the fleet, or is just the busiest and keeps up; null when none is short of time. */
export function narrowest({ bottleneck, limits }: Picture): { readonly room: Room; readonly isLimit: boolean } | null {
  if (limits !== null && limits !== 'none') return { room: limits, isLimit: true }
  if (bottleneck === null || bottleneck === 'source') return null
  return { room: bottleneck, isLimit: limits === null }
}

export function bottleneckText(picture: Picture): string {
  const narrow = narrowest(picture)
  if (narrow !== null)
    return narrow.isLimit ? `The bottleneck is ${narrow.room}` : `The busiest room is ${narrow.room}, and it keeps up`
  return picture.bottleneck === null ? 'Nothing flows' : 'No bottleneck: every room has time to spare'
}

/** Whether more replicas would help; empty where nobody says. */
export function helpText({ usefulReplicas: useful, replicas }: Picture): string {
  if (useful === null) return ''
  if (useful > replicas.length) return `${useful} replicas would help`
  if (useful === replicas.length) return 'more replicas would not help'
  return useful === 1 ? 'one replica would do' : `${useful} replicas would do`
}
