/**
 * Has Redis forgotten entries? A stream that lost some is noticed by the next call that adds to it; but the next event of a rare kind may be hours
 * away, and until then its readers would miss what was lost. So the streams are compared after every new connection, and once in a while.
 */
import { LostError } from '../core/errors.ts'
import type { Lane } from '../flow/lane.ts'
import type { Publish } from '../flow/publish/port.ts'

/** What the lane's first partition in trouble has lost; null: every stream holds what was published to it. */
export async function forgottenBy(publish: Publish, lane: Lane): Promise<LostError | null> {
  // What we know is read before the streams are: they may only be ahead of it.
  const known = [...lane.partitions.values()].flatMap(({ partition, streams }) =>
    [...streams].map(([family, expected]) => ({ partition, family, expected })),
  )
  const held = await publish.last(known)
  for (const [index, { partition, family, expected }] of known.entries()) {
    const found = held[index] as number
    if (found >= expected) continue
    return new LostError('STREAM_LOST', `${family}:{${partition}} ends at ${found}, not ${expected}`)
  }
  return null
}
