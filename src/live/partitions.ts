/** The partitions of all replicas in one list, and how far each room is behind in each. Pure. */
import { byRoom, type Room } from '../core/marks.ts'
import type { PartitionStatus, Status } from '../core/status.ts'
import type { PartitionPicture } from './picture.ts'

export function partitionsOf(serving: readonly Status[]): PartitionPicture[] {
  const all = new Map<string, PartitionPicture>()
  for (const { replica, partitions, stopped } of serving) {
    const reasons = new Map(stopped.map(({ partition, code, reason }) => [partition, { code, reason }]))
    for (const told of partitions) {
      const one = pictureOf(told, replica, reasons.get(told.partition) ?? null)
      reasons.delete(told.partition)
      const known = all.get(keyOf(one))
      // While a partition moves, its old and its new replica may both tell of it: whoever is further has it.
      if (known === undefined || known.marks === null || (known.marks.persist ?? 0) <= (one.marks?.persist ?? 0))
        all.set(keyOf(one), one)
    }
    // One that was stopped before its marks could be believed has none.
    const topic = partitions[0]?.topic ?? ''
    for (const [partition, why] of reasons) {
      const one = {
        topic,
        partition,
        replica,
        marks: null,
        endOffset: null,
        behind: null,
        lagSeconds: null,
        stopped: why,
      }
      if (!all.has(keyOf(one))) all.set(keyOf(one), one)
    }
  }
  return [...all.values()].sort((a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition)
}

const keyOf = ({ topic, partition }: { topic: string; partition: number }) => `${topic}/${partition}`

function pictureOf(told: PartitionStatus, replica: string, stopped: PartitionPicture['stopped']): PartitionPicture {
  const { topic, partition, marks, endOffset, lagSeconds = null } = told
  const end = Math.max(endOffset ?? 0, marks.consume)
  const behind = byRoom((room) => Math.max(0, end - marks[room]))
  return { topic, partition, replica, marks, endOffset, behind, lagSeconds, stopped }
}

/** What has not passed this room yet, over all partitions that are known. */
export const waiting = (partitions: readonly PartitionPicture[], room: Room): number =>
  partitions.reduce((sum, { behind }) => sum + (behind?.[room] ?? 0), 0)

/** The ones that a person should look at first: stopped, then by what is not stored. */
export const worstOf = (partitions: readonly PartitionPicture[]): PartitionPicture[] =>
  partitions.toSorted(
    (a, b) =>
      Number(b.stopped !== null) - Number(a.stopped !== null) || (b.behind?.persist ?? 0) - (a.behind?.persist ?? 0),
  )

/** How far behind, in steps that a colour can tell: under 100 records is the usual coming and going. */
export const heatLimits = [100, 1000, 10_000, 100_000, 1_000_000] as const
export const heatSteps = heatLimits.length + 1

/** One letter a room, for the classes of a cell in the map. */
export const roomLetters = { consume: 'c', decode: 'd', persist: 'p', publish: 'u', settle: 's' } as const

export function heatOf(records: number): number {
  const step = heatLimits.findIndex((limit) => records < limit)
  return step < 0 ? heatLimits.length : step
}
