/** Millrace itself: one process, as `millrace consume` starts it. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild } from './child.ts'
import type { Contender } from './contender.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export const millrace = (publishes: boolean, profiling: readonly string[] = []): Contender => ({
  name: publishes ? 'both' : 'store',
  title: publishes ? 'Millrace, PostgreSQL and Redis' : 'Millrace, PostgreSQL only',
  stores: true,
  publishes,
  async start(world) {
    const log = join(world.logs, 'replica.log')
    const env = { ...world.env(publishes), MILLRACE_ADMIN_PORT: '0' }
    return startChild([process.execPath, ...profiling, main, 'consume', 'cloud-events'], log, { env })
  },
})
