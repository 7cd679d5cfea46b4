/** Waits for a fleet that is watched, until it is where it is wanted; one that does not get there is NO_PROGRESS, with where it stands. */
import { setTimeout as sleep } from 'node:timers/promises'
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import type { Room } from '../core/marks.ts'
import type { Watch } from '../live/watch.ts'
import type { TopicEnds } from '../verify/kafka-marks.ts'

const assignMs = 60_000
/** The fleet may take long to catch up, but not stand still. */
const stuckMs = 30_000

/** All partitions are somebody's, so that the first events find a fleet. */
export async function assigned(
  watch: Watch,
  partitions: number,
  now: () => number,
  signal: AbortSignal,
): Promise<void> {
  const untilMs = now() + assignMs
  for (;;) {
    await watch.look()
    const owned = watch.serving().reduce((sum, status) => sum + status.partitions.length, 0)
    if (owned === partitions) return
    if (now() > untilMs) {
      throw new FatalError(
        'NO_PROGRESS',
        `After ${assignMs / 1000} s only ${owned} of ${partitions} partitions are assigned.`,
        'Look into the logs of the replicas, and for other members of the group.',
      )
    }
    await sleep(100, undefined, { signal })
  }
}

/** In every partition this room's mark is where Kafka ended when it was asked. */
export async function caughtUp(
  watch: Watch,
  ends: TopicEnds,
  room: Room,
  now: () => number,
  signal: AbortSignal,
): Promise<void> {
  let best = Number.POSITIVE_INFINITY
  let movedMs = now()
  for (;;) {
    await watch.look()
    const reached = new Map<number, number>()
    for (const { partitions } of watch.serving()) {
      for (const { partition, marks } of partitions) reached.set(partition, marks[room])
    }
    let missing = 0
    for (const [partition, { low, high }] of ends)
      missing += Math.max(0, high - Math.max(low, reached.get(partition) ?? low))
    if (missing === 0) return
    watch.phase = `catching up, ${count(missing)} to ${room}`
    if (missing < best) {
      best = missing
      movedMs = now()
    } else if (now() - movedMs > stuckMs) {
      throw new FatalError(
        'NO_PROGRESS',
        `The load has ended, ${room} has ${missing} records before it, and nothing has moved for ${stuckMs / 1000} s.`,
        'Look into the logs of the replicas.',
      )
    }
    await sleep(100, undefined, { signal })
  }
}
