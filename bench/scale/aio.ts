/**
 * A cold day replayed into a file, with PostgreSQL's two ways of reading that every build has and several depths of read-ahead. The server is started anew
 * and the system's page cache emptied before each replay, which needs root; elsewhere it says so and measures a warm one.
 */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { count } from '../../src/core/count.ts'
import { median } from '../../src/core/median.ts'
import { millrace } from '../contenders/millrace.ts'
import { drain } from '../drain.ts'
import { fill } from '../produce.ts'
import { replay } from '../replay.ts'
import { number, table } from '../report.ts'
import { inTurns } from '../turns.ts'
import { openWorld } from '../world.ts'
import type { Part } from './scale.ts'

/** What PostgreSQL has by default comes first. */
const ways = ['worker, 16', 'worker, 1', 'worker, 64', 'sync, 1', 'sync, 16', 'sync, 64'] as const

export const aio: Part = async (options, { events, rounds }) => {
  {
    await using world = await openWorld(options)
    await fill(world, events)
    await drain(world, millrace({ publishes: false }), events)
    await world.sql.query('VACUUM (ANALYZE) cloud_events')
  }
  let isCold = true
  let turns = 0
  const seconds = await inTurns(
    ways,
    rounds,
    async (way) => {
      const [method, ahead] = way.split(', ') as [string, string]
      const postgres = { io_method: method, effective_io_concurrency: ahead }
      await using world = await openWorld({ ...options, fresh: false, postgres })
      const file = join(world.logs, '../replayed-cold.jsonl')
      rmSync(file, { force: true })
      isCold &&= dropCaches()
      const found = await replay(world, `cold-${process.pid}-${turns++}`, [
        '--source',
        'postgres',
        '--into',
        `file:${file}`,
      ])
      if (found.events !== events) throw new Error(`${found.events} events were replayed, not ${events}`)
      return found.seconds
    },
    (round, way, took) => options.say(`  ${way}, round ${round}: ${took.toFixed(2)} s`),
  )
  const usual = median(seconds[ways[0]])
  return {
    table: table(
      [
        `a ${isCold ? 'cold' : 'WARM (no root: the page cache stays)'} day of ${count(events)} events replayed: io_method, effective_io_concurrency`,
        's',
        'events/s',
        'of the first',
      ],
      ways.map((way) => [
        way,
        number(median(seconds[way]), 2),
        count(Math.round(events / median(seconds[way]))),
        number(usual / median(seconds[way]), 2),
      ]),
    ),
    found: { events, isCold, seconds },
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
