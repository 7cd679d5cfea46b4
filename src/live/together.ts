/** What several replicas say, as one answer. */
import { type Room, rooms } from '../core/marks.ts'
import type { Status } from '../core/status.ts'
import type { Picture } from './picture.ts'

export const worstLag = (serving: readonly Status[]) =>
  serving.reduce((worst, { lagSeconds }) => Math.max(worst, lagSeconds ?? 0), 0)

/** One word when all agree. */
export function phaseOf(serving: readonly Status[]): string {
  const phases = [...new Set(serving.map(({ phase }) => phase))]
  return phases.length === 0 ? 'no answer' : phases.join(', ')
}

/** Of all topics that somebody here reads. */
export function partitionsTold(serving: readonly Status[]): number {
  const byTopic = new Map<string, number>()
  for (const { partitions, topicPartitions = 0 } of serving) {
    const topic = partitions[0]?.topic ?? ''
    if (topic !== '') byTopic.set(topic, Math.max(byTopic.get(topic) ?? 0, topicPartitions))
  }
  return [...byTopic.values()].reduce((sum, partitions) => sum + partitions, 0)
}

/** What most of those say that are behind. */
export function limitsOf(serving: readonly Status[]): Picture['limits'] {
  const told = serving.flatMap(({ limitingRoom }) => (limitingRoom === undefined ? [] : [limitingRoom]))
  const votes = (room: Room) => told.filter((one) => one === room).length
  const most = rooms.reduce((best, room) => (votes(room) > votes(best) ? room : best), rooms[0])
  return told.length === 0 ? null : votes(most) > 0 ? most : 'none'
}

/** Each replica sees its own partitions only; the boldest guess is of the one that has most to do. */
export function usefulOf(serving: readonly Status[]): number | null {
  const told = serving.flatMap(({ usefulReplicas }) => usefulReplicas ?? [])
  return told.length === 0 ? null : Math.max(...told)
}
