/**
 * A scan of a cold day, as a replay makes it, with PostgreSQL's two ways of reading that every build has: `io_method` sync and worker. The server is
 * started anew and the system's page cache emptied before each scan, which needs root; elsewhere it says so and measures a warm one.
 */
import { writeFileSync } from 'node:fs'
import { count } from '../../src/core/count.ts'
import { median } from '../../src/core/median.ts'
import { millrace } from '../contenders/millrace.ts'
import { drain } from '../drain.ts'
import { fill } from '../produce.ts'
import { number, table } from '../report.ts'
import { openWorld } from '../world.ts'
import type { Part } from './scale.ts'

const methods = ['worker', 'sync'] as const

export const aio: Part = async (options, { events, rounds }) => {
  {
    await using world = await openWorld(options)
    await fill(world, events)
    await drain(world, millrace({ publishes: false }), events)
  }
  const seconds: Record<(typeof methods)[number], number[]> = { worker: [], sync: [] }
  let isCold = true
  let bytes = 0
  for (let round = 0; round < rounds; round++) {
    for (const method of round % 2 === 0 ? methods : methods.toReversed()) {
      await using world = await openWorld({ ...options, fresh: false, postgres: { io_method: method } })
      isCold &&= dropCaches()
      const from = performance.now()
      const { rows } = await world.sql.query<{ bytes: number }>(
        'SELECT sum(octet_length(data::text) + octet_length(source))::float8 AS bytes FROM cloud_events',
      )
      seconds[method].push((performance.now() - from) / 1000)
      bytes = rows[0]?.bytes ?? 0
      options.say(`  ${method}, round ${round + 1}: ${seconds[method].at(-1)?.toFixed(2)} s`)
    }
  }
  const usual = median(seconds.worker)
  return {
    table: table(
      [
        `a ${isCold ? 'cold' : 'WARM (no root: the page cache stays)'} scan of ${count(events)} rows`,
        's',
        'events/s',
        'of worker',
      ],
      methods.map((method) => [
        `io_method = ${method}`,
        number(median(seconds[method]), 2),
        count(Math.round(events / median(seconds[method]))),
        number(usual / median(seconds[method]), 2),
      ]),
    ),
    found: { events, bytes, isCold, seconds },
  }
}

function dropCaches(): boolean {
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3')
    return true
  } catch {
    return false
  }
}
