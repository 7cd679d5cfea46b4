/**
 * Replays at full speed beside the fastest that the servers can do, in turns: partitions into a file beside COPY TO of the same rows, partitions into a
 * stream of Redis, Kafka into a file beside a consumer that only consumes; and what a replay does to the latencies of a live flow.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { count } from '../src/core/count.ts'
import { median } from '../src/core/median.ts'
import { nodeFlags } from '../src/process/node-flags.mjs'
import { readUsage } from '../src/start/usage.ts'
import { startChild } from './contenders/child.ts'
import { consumeOnly } from './contenders/kafkajs.ts'
import { millrace } from './contenders/millrace.ts'
import { drain } from './drain.ts'
import { fill } from './produce.ts'
import { number, table } from './report.ts'
import { type Steady, steady } from './steady.ts'
import { inTurns } from './turns.ts'
import { root, type World } from './world.ts'

interface Run {
  readonly perSecond: number
  readonly seconds: number
  /** 0: not looked at. */
  readonly peakMiB: number
}

type TurnName = 'copy' | 'file' | 'stream' | 'consume' | 'kafka'

interface Turn {
  readonly title: string
  /** What it is measured by. */
  readonly beside?: TurnName
  readonly goal: string
  run(): Promise<Run>
}

const main = join(root, 'src/main.ts')
const script = join(root, 'bench/copy-to.ts')
/** All that a replay reads of a row, in its order. */
const rowsSql = `SELECT event_time, kafka_partition, kafka_offset, source, event_id, type, subject, tenant_id, data, data_bytes, extensions
  FROM cloud_events`
const memoryMs = 50

export interface ReplayBenchOptions {
  readonly events: number
  readonly rounds: number
  readonly replicas: number
  /** Of the live flow; 0 seconds leave it out. */
  readonly paced: { readonly rate: number; readonly warmMs: number; readonly seconds: number }
}

export async function benchReplay(
  world: World,
  { events, rounds, replicas, paced }: ReplayBenchOptions,
): Promise<object> {
  const { say } = world
  await fill(world, events)
  say('storing them')
  await drain(world, millrace({ publishes: true }), events)
  // Rows that a scan has to look up and mark as visible are the first scan's cost, whoever makes it.
  await world.sql.query('VACUUM (ANALYZE) cloud_events')
  const { rows } = await world.sql.query<{ count: number }>('SELECT count(*)::int FROM cloud_events')
  const stored = rows[0]?.count ?? 0

  let turns = 0
  const into = (name: string) => join(world.logs, `../replayed-${name}`)
  const replayed = async (source: string, target: string, expected: number) => {
    const id = `bench-${process.pid}-${turns++}`
    const found = await replay(world, id, ['--source', source, '--into', target])
    if (found.events !== expected) throw new Error(`${id}: ${found.events} events, not ${expected}`)
    return { perSecond: expected / found.seconds, seconds: found.seconds, peakMiB: found.peakMiB }
  }
  const turnOf: Readonly<Record<TurnName, Turn>> = {
    copy: {
      title: 'COPY TO, the same rows as text',
      goal: '',
      run: () => copyTo(world, into('copy.txt'), stored),
    },
    file: {
      title: '**partitions into a file (JSON Lines)**',
      beside: 'copy',
      goal: '0.5 of COPY TO',
      async run() {
        rmSync(into('rows.jsonl'), { force: true })
        return replayed('postgres', `file:${into('rows.jsonl')}`, stored)
      },
    },
    stream: {
      title: '**partitions into a stream of Redis**',
      goal: '60,000/s where the live flow does 80,000',
      async run() {
        await world.redis.unlink('replay:bench')
        return replayed('postgres', 'redis:replay:bench', stored)
      },
    },
    consume: {
      title: 'kafkajs, consuming only',
      goal: '',
      async run() {
        const { perSecond, seconds, residentMiB } = await drain(world, consumeOnly, events, { keepRows: true })
        return { perSecond, seconds, peakMiB: residentMiB }
      },
    },
    kafka: {
      title: 'Kafka into a file',
      beside: 'consume',
      goal: '',
      async run() {
        rmSync(into('kafka.jsonl'), { force: true })
        return replayed('kafka', `file:${into('kafka.jsonl')}`, events)
      },
    },
  }
  const names = Object.keys(turnOf) as TurnName[]
  const runs = await inTurns(
    names,
    rounds,
    (name) => turnOf[name].run(),
    (round, name, { perSecond, peakMiB }) =>
      say(
        `  round ${round} ${turnOf[name].title}: ${count(Math.round(perSecond))} events/s, ${Math.round(peakMiB)} MiB`,
      ),
  )
  const rate = (name: TurnName) => median(runs[name].map(({ perSecond }) => perSecond))
  process.stdout.write(
    table(
      [`${count(stored)} events`, 'events/s', 'of that beside it', 'peak MiB', 'goal'],
      names.map((name) => [
        turnOf[name].title,
        count(Math.round(rate(name))),
        turnOf[name].beside === undefined ? '' : number(rate(name) / rate(turnOf[name].beside), 2),
        number(Math.max(...runs[name].map(({ peakMiB }) => peakMiB))),
        turnOf[name].goal,
      ]),
    ),
  )
  const live = paced.seconds === 0 ? null : await besideLive(world, paced, replicas)
  return {
    events,
    stored,
    rounds,
    replicas,
    runs: names.map((name) => ({ title: turnOf[name].title, runs: runs[name] })),
    live,
  }
}

/** One replay as a process, started as bin/millrace.mjs does, timed by its own clock: from its first question to its last event being safe. */
export async function replay(
  world: World,
  id: string,
  args: readonly string[],
): Promise<{ events: number; seconds: number; peakMiB: number }> {
  const log = openSync(join(world.logs, 'replay.log'), 'a')
  const words = [...nodeFlags, main, 'replay', '--json', '--rate', 'max', '--id', id, ...args]
  const env = { ...process.env, ...world.env(true) }
  const child = spawn(process.execPath, words, { env, stdio: ['ignore', 'pipe', log] })
  closeSync(log)
  let out = ''
  child.stdout?.on('data', (text) => {
    out += text
  })
  let peakMiB = 0
  const looking = setInterval(() => {
    peakMiB = Math.max(peakMiB, (readUsage(child.pid ?? 0)?.residentBytesPeak ?? 0) / 2 ** 20)
  }, memoryMs)
  const stop = () => child.kill('SIGTERM')
  world.signal.addEventListener('abort', stop, { once: true })
  const [code] = await once(child, 'close')
  world.signal.removeEventListener('abort', stop)
  clearInterval(looking)
  world.signal.throwIfAborted()
  if (code !== 0) throw new Error(`the replay ended with ${code}; see ${world.logs}/replay.log`)
  const { events, elapsedMs } = JSON.parse(out) as { events: number; elapsedMs: number }
  return { events, seconds: elapsedMs / 1000, peakMiB }
}

async function copyTo(world: World, file: string, rows: number): Promise<Run> {
  const words = [process.execPath, script, world.stack.postgres, rowsSql, file] as const
  const child = startChild([...words], join(world.logs, 'copy-to.log'), { channel: true })
  await child.ended
  const told = child.told() as { seconds: number } | undefined
  if (told === undefined) throw new Error(`COPY TO failed; see ${child.log}`)
  return { perSecond: rows / told.seconds, seconds: told.seconds, peakMiB: 0 }
}

/** The live flow alone, with a replay at the rate that is usual, and with one as fast as it can: what was stored is replayed again and again. */
async function besideLive(world: World, paced: ReplayBenchOptions['paced'], replicas: number): Promise<object> {
  const contender = millrace({ publishes: true, replicas })
  const found: [title: string, Steady][] = []
  for (const [title, rate] of [
    ['the live flow alone', null],
    ['beside a replay at its usual rate', '20000'],
    ['beside a replay at full speed', 'max'],
  ] as const) {
    const over = new AbortController()
    let replayed = 0
    const replaying = (async () => {
      for (let turn = 0; rate !== null && !over.signal.aborted; turn++) {
        const id = `live-${process.pid}-${rate}-${turn}`
        const stream = `redis:replay:${id}`
        replayed += (await replay(world, id, ['--source', 'postgres', '--rate', rate, '--into', stream])).events
        await world.redis.unlink(`replay:${id}`)
      }
    })()
    // A flow beside a replay that has failed would be a flow alone: told at the end, when both are over.
    replaying.catch(() => {})
    try {
      found.push([title, await steady(world, contender, paced)])
    } finally {
      over.abort()
      await replaying
    }
    if (rate !== null) world.say(`  ${title}: ${count(replayed)} events were replayed meanwhile`)
  }
  const alone = found[0]?.[1].committedMs.p99 ?? Number.NaN
  process.stdout.write(
    table(
      [`${count(paced.rate)} events/s live, due to committed`, 'p50 ms', 'p99 ms', 'p99 of alone', 'goal'],
      found.map(([title, { committedMs }]) => [
        title,
        number(committedMs.p50, 1),
        number(committedMs.p99, 1),
        number(committedMs.p99 / alone, 2),
        title.includes('full') ? 'at most 1.5' : '',
      ]),
    ),
  )
  return Object.fromEntries(found)
}
