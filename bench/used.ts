/** What processes have used so far. */
import { readTreeUsage, readUsage } from '../src/start/usage.ts'
import type { World } from './world.ts'

export type Servers = Readonly<Record<'kafka' | 'postgres' | 'redis', number>>

/** CPU seconds, with those of their children. */
export const cpuSeconds = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + (readTreeUsage(pid)?.cpuSeconds ?? 0), 0)

/** The highest resident memory that each has had, added up. */
export const peakMiB = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + (readUsage(pid)?.residentBytesPeak ?? 0) / 2 ** 20, 0)

export function serverCpu({ stack: { pids } }: World): Servers {
  const of = (pid: number | undefined) => (pid === undefined ? 0 : cpuSeconds([pid]))
  return { kafka: of(pids.kafka), postgres: of(pids.postgres), redis: of(pids.redis) }
}
