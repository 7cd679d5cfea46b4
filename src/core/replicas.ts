/**
 * How many replicas of a consumer would be of use, as one of them sees it. More of them help only where a replica's own thread is the limit and
 * partitions with lag can be shared out; where PostgreSQL, Redis or Kafka is the limit, more consumers make it worse (kedacore/keda#7092), and a
 * single hot partition is nobody else's to help with (keda#2908).
 *
 *   no lag                     as many as it takes to be busy for three fifths of the time, never more than there are
 *   lag, a server is the limit as many as there are
 *   lag, we are the limit      more: by how long catching up would take, at most twice as many, at most one per partition with lag
 *
 * A server's limit is told by its stretch: what a row costs now over what it cost at its best in the last hour. A server with room to spare answers as
 * fast as ever, however many lanes wait for it; one that has none makes all of them wait longer. While that is not known, nothing is asked for.
 */
import type { Room } from './marks.ts'

/** What one process knows, over the last seconds. */
export interface Load {
  /** Of the topic, and of these, assigned here. */
  readonly partitions: number
  readonly assigned: number
  /** Assigned partitions that are behind. */
  readonly lagging: number
  /** Age of the oldest record not stored yet. */
  readonly lagSeconds: number
  /** The share of their time in which the rooms worked. */
  readonly working: Readonly<Record<'decode' | 'persist' | 'publish', number>>
  /** The share of a core that the main thread had. */
  readonly threadShare: number
  /** null: not known yet. */
  readonly stretch: Readonly<Record<'persist' | 'publish', number | null>>
}

/** Batches are always on their way; what is older than this is behind. */
export const behindSeconds = 3
/** Below this share no room is short of time: the stream brings no more, or what is missing has not come from Kafka yet. */
export const busyShare = 0.6
/** A thread that has a core for so much of the time can do no more. */
const fullThread = 0.85
/** So much dearer than at its best, a row waits behind others. */
export const stretchedFrom = 1.5
/** Lag of this many seconds is worth twice the replicas. */
const catchUpSeconds = 60

/** The room that limits the process; null when it is not behind. */
export function limitingRoom({ lagSeconds, working }: Pick<Load, 'lagSeconds' | 'working'>): Room | null {
  if (lagSeconds < behindSeconds) return null
  const busiest = (['decode', 'persist', 'publish'] as const).reduce((best, room) =>
    working[room] > working[best] ? room : best,
  )
  return working[busiest] >= busyShare ? busiest : 'consume'
}

/** Whether another process of our kind would find what this one lacks: a core of its own. */
function isOwnLimit({ threadShare, stretch }: Load, room: Room): boolean {
  if (threadShare >= fullThread || room === 'decode') return true
  if (room !== 'persist' && room !== 'publish') return false
  const known = stretch[room]
  return known !== null && known < stretchedFrom
}

/** null: this one has no partition and knows nothing. */
export function usefulReplicas(load: Load): number | null {
  const { partitions, assigned, lagging, lagSeconds, working, threadShare } = load
  if (assigned === 0) return null
  // The group shares partitions out evenly, so that one's share tells how many there are.
  const there = clamp(Math.round(partitions / assigned), 1, partitions)
  const room = limitingRoom(load)
  if (room === null) {
    const busy = Math.max(threadShare, ...Object.values(working))
    return clamp(Math.ceil((there * busy) / busyShare), 1, there)
  }
  if (lagging < 2 || !isOwnLimit(load, room)) return there
  const wanted = Math.ceil(there * Math.min(2, 1 + lagSeconds / catchUpSeconds))
  return clamp(wanted, there, Math.min(there * lagging, partitions))
}

const clamp = (value: number, min: number, max: number) => Math.max(min, Math.min(value, max))
