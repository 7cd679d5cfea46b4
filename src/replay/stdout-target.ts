/** Standard output, an event a line. What was written is out of our hands: gone on with, the events since the last note of a position come again. */
import { FatalError } from '../core/errors.ts'
import { lines } from './file-target.ts'
import type { ReplayTarget } from './target.ts'

export interface LineOutput {
  /** Resolves when more may come; rejects where nobody reads any more. */
  write(bytes: Buffer): Promise<void>
}

export function openStdoutTarget(output: LineOutput): ReplayTarget {
  return {
    rewinds: true,
    after: async () => undefined,
    async write(events) {
      try {
        await output.write(lines(events))
      } catch (error) {
        throw new FatalError('REPLAY_TARGET', 'Nobody reads standard output any more.', 'Go on with the replay.', error)
      }
    },
    settle: async () => null,
    finish: async () => {},
    discard: async () => {},
    close: async () => {},
  }
}
