/** Millrace itself: processes as `millrace consume` starts them. */
import { cpus } from 'node:os'
import { join } from 'node:path'
import { lanesOfEach } from '../../src/core/settings.ts'
import { startReplica } from '../replica.ts'
import type { Contender } from './contender.ts'

export interface MillraceOptions {
  readonly publishes: boolean
  readonly replicas?: number
  /** For Node: to be profiled, say. */
  readonly execArgv?: readonly string[]
}

export const millrace = ({ publishes, replicas = 1, execArgv = [] }: MillraceOptions): Contender => ({
  name: publishes ? 'both' : 'store',
  title: publishes ? 'Millrace, PostgreSQL and Redis' : 'Millrace, PostgreSQL only',
  stores: true,
  publishes,
  async start(world) {
    const log = join(world.logs, 'replicas.log')
    // As `npm start` does.
    const lanes = String(lanesOfEach(replicas, cpus().length))
    const env = { ...(replicas > 1 && { MILLRACE_LANES: lanes }), ...world.env(publishes) }
    const all = await Promise.all(Array.from({ length: replicas }, () => startReplica(env, log, execArgv)))
    return {
      pids: all.map(({ pid }) => pid),
      log,
      ended: Promise.race(all.map(({ ended }) => ended)),
      statuses: () => Promise.all(all.map((replica) => replica.status())),
      stop: async () => void (await Promise.all(all.map((replica) => replica.stop()))),
    }
  },
})
