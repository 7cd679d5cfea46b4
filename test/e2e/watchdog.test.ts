/**
 * A process that makes no progress ends, says why, and is started again, and what it left is done once. Each replica here has a world of its own and
 * the supervisor of `npm start`; each comes to a standstill in its own way, all at the same time, under load.
 */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { identify } from '../../src/stack/lock.mjs'
import { startWatchdog } from '../../src/stack/watchdog.ts'
import { type Replica, superviseReplica } from '../../src/start/supervisor.ts'
import { useStack, type World } from './harness.ts'
import { startProxy, type TcpProxy, through } from './proxy.ts'
import { cleanEnv } from './replica.ts'
import { until } from './until.ts'

const servers = useStack()
const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const progressMs = 10_000
/** Seeing it (a second), aborting, leaving the group, closing what does not answer: at most three seconds each. */
const endMs = 12_000
const silentMs = 6000

/**
 * Preloaded into every thread. At SIGUSR2 the main thread blocks for ever, or each worker does as soon as it is given a task (waiting for one is the
 * only thing that Piscina's workers do with Atomics.wait), or ends.
 */
const harm = `
import { existsSync, writeFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
const { HARM, HARM_FLAG } = process.env
const { wait } = Atomics
const block = () => wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
if (isMainThread) process.once('SIGUSR2', () => HARM === 'loop' ? block() : writeFileSync(HARM_FLAG, ''))
else Atomics.wait = (...given) => {
  const answer = wait(...given)
  if (HARM_FLAG && existsSync(HARM_FLAG)) HARM === 'die' ? process.exit(3) : block()
  return answer
}
`

interface Ground {
  readonly kafka: TcpProxy
  readonly postgres: TcpProxy
  readonly redis: TcpProxy
  readonly pid: () => number
}

interface Case {
  readonly name: string
  readonly env?: Readonly<Record<string, string>>
  harm(ground: Ground): void
  /** What its log says last; null: it is to live on. */
  readonly says: RegExp | null
  readonly limitMs: number
}

const standsStill = /NO_PROGRESS: .*(nothing has moved|no sign of life)/
const cases: readonly Case[] = [
  {
    name: 'Kafka swallows everything',
    harm: ({ kafka }) => kafka.hold(),
    says: /NO_PROGRESS: .*no sign of life from the Kafka client/,
    limitMs: progressMs + endMs,
  },
  {
    name: 'PostgreSQL swallows everything',
    harm: ({ postgres }) => postgres.hold(),
    // Whichever notices first: the lanes, or the survey, which asks PostgreSQL too.
    says: /NO_PROGRESS: .*(nothing has moved|no sign of life|a survey has not ended)/,
    limitMs: progressMs + endMs,
  },
  {
    name: 'one session of two hangs, the other lane goes on',
    harm: ({ postgres }) => holdLane(postgres, 0),
    says: /NO_PROGRESS: \d+ records wait in partitions .*/,
    limitMs: progressMs + endMs,
  },
  {
    name: 'Redis swallows everything: a known outage, storing goes on',
    harm: ({ redis }) => redis.hold(),
    says: null,
    limitMs: progressMs + endMs,
  },
  {
    name: 'the decoding worker never answers',
    env: { HARM: 'worker' },
    harm: ({ pid }) => process.kill(pid(), 'SIGUSR2'),
    says: standsStill,
    limitMs: progressMs + endMs,
  },
  {
    name: 'the decoding worker dies with a task',
    env: { HARM: 'die' },
    harm: ({ pid }) => process.kill(pid(), 'SIGUSR2'),
    says: /worker exited|worker/i,
    limitMs: endMs,
  },
  {
    name: 'the event loop is blocked',
    env: { HARM: 'loop' },
    harm: ({ pid }) => process.kill(pid(), 'SIGUSR2'),
    says: /NO_PROGRESS: the event loop has not turned for 11 s/,
    limitMs: progressMs + endMs,
  },
  {
    name: 'SIGSTOP',
    harm: ({ pid }) => process.kill(pid(), 'SIGSTOP'),
    says: /NO_PROGRESS: no answer to \/healthz/,
    limitMs: silentMs + endMs,
  },
]

/** Sessions say their name when they begin. */
const names = new WeakMap<object, string>()

function holdLane({ lines }: TcpProxy, lane: number): void {
  const held = [...lines].filter((line) => names.get(line)?.includes(`lane ${lane}`))
  assert.equal(held.length, 1)
  for (const { client, server } of held) {
    client.pause()
    server.pause()
  }
}

async function openGround(world: World, open: AsyncDisposableStack): Promise<Omit<Ground, 'pid'>> {
  const started = async (...given: Parameters<typeof startProxy>) => {
    const proxy = await startProxy(...given)
    open.defer(() => proxy.close())
    return proxy
  }
  const port = Number(world.stack.kafka.split(':')[1])
  // Where the broker says it is to be found, as it stands in its answers.
  const address = (at: number) => {
    const bytes = Buffer.from('\0\x09127.0.0.1\0\0\0\0', 'latin1')
    bytes.writeUInt32BE(at, bytes.length - 4)
    return bytes
  }
  const kafka: TcpProxy = await started(`tcp://${world.stack.kafka}`, ({ client, server }) => ({
    fromClient: (bytes) => void server.write(bytes),
    fromServer(bytes) {
      for (let at = bytes.indexOf(address(port)); at >= 0; at = bytes.indexOf(address(port), at))
        address(kafka.port).copy(bytes, at)
      client.write(bytes)
    },
  }))
  const postgres = await started(world.postgresUrl, (line) => ({
    fromClient(bytes) {
      if (!names.has(line)) names.set(line, bytes.toString('latin1'))
      line.server.write(bytes)
    },
    fromServer: (bytes) => void line.client.write(bytes),
  }))
  return { kafka, postgres, redis: await started(world.redisUrl) }
}

interface Running extends Case {
  readonly world: World
  readonly ground: Ground
  readonly replica: Replica
  readonly events: { readonly text: string; readonly atMs: number }[]
}

const pidOf = ({ state, name }: Replica) => {
  assert(state.kind === 'serving', `${name} does not serve`)
  return state.pid
}

async function run(t: TestContext, one: Case, index: number, open: AsyncDisposableStack): Promise<Running> {
  const world = await servers.world(t, {
    env: { MILLRACE_PROGRESS_TIMEOUT_MS: String(progressMs), MILLRACE_LANES: '2' },
  })
  const ground = await openGround(world, open)
  const flag = join(world.stack.folder, `harm-${index}`)
  const watchdog = startWatchdog()
  const events: Running['events'] = []
  const name = `w${index}`
  const replica = superviseReplica({
    name,
    log: join(world.stack.folder, `${name}.log`),
    execPath: process.execPath,
    args: ['--import', join(world.stack.folder, 'harm.mjs'), main, 'consume', 'cloud-events'],
    env: cleanEnv({
      ...world.env,
      ...one.env,
      HARM_FLAG: flag,
      MILLRACE_REPLICA: name,
      MILLRACE_KAFKA: `127.0.0.1:${ground.kafka.port}`,
      MILLRACE_POSTGRES: through(world.postgresUrl, ground.postgres),
      MILLRACE_REDIS: through(world.redisUrl, ground.redis),
    }),
    now: Date.now,
    onEvent: (text) => events.push({ text, atMs: performance.now() }),
    ...(one.name === 'SIGSTOP' && { silentMs }),
  })
  open.defer(async () => {
    for (const proxy of [ground.kafka, ground.postgres, ground.redis]) proxy.release()
    replica.kill()
    await replica.stop(100)
    watchdog.done()
  })
  const pid = await until(`${name} to serve`, 60_000, () => (replica.state.kind === 'serving' ? pidOf(replica) : null))
  // Stopped or blocked, it would not notice that we died.
  const identity = identify(pid)
  if (identity !== undefined) watchdog.add(identity, 'KILL')
  return { ...one, world, ground: { ...ground, pid: () => pidOf(replica) }, replica, events }
}

test('whoever stands still ends in bounded time, says why, is replaced, and nothing is lost or doubled', async (t) => {
  await using open = new AsyncDisposableStack()
  const { folder } = await servers.stack()
  writeFileSync(join(folder, 'harm.mjs'), harm)
  const running = await Promise.all(cases.map((one, index) => run(t, one, index, open)))
  const [first] = running as [Running]
  const made = [first.world.load({ rate: 300 })]
  await Promise.all(running.map(({ world }) => world.untilRows(200)))

  const startedMs = performance.now()
  for (const one of running) one.harm(one.ground)
  // So many at once that no lane decodes them in place.
  made.push(first.world.load({ rate: 20_000, events: 6000 }))

  await Promise.all(
    running.map(async ({ name, says, limitMs, ground, replica, events, world }, index) => {
      const { kafka, postgres, redis } = ground
      const ended = () => events.find(({ text }) => / ended \(/.test(text)) ?? null
      if (says === null) {
        await until('its time to pass', limitMs + 5000, () => performance.now() - startedMs > limitMs || null)
        assert.equal(ended(), null, `${name}: it ended`)
        redis.release()
        return
      }
      const { text, atMs } = await until(`${name}: to end`, limitMs + 5000, ended)
      const tookMs = Math.round(atMs - startedMs)
      for (const proxy of [kafka, postgres, redis]) proxy.release()
      rmSync(join(world.stack.folder, `harm-${index}`), { force: true })
      const log = readFileSync(replica.log, 'utf8').split('\n')
      const said = log.filter((line) => line.startsWith('millrace: ')).at(-1) ?? ''
      t.diagnostic(`${name}: ${text} after ${(tookMs / 1000).toFixed(1)} s: ${said}`)
      assert.match(text, /ended \((exit code 1|SIGKILL)\)/)
      assert.match(said, says, name)
      assert(tookMs <= limitMs, `${name}: ended after ${tookMs} ms, not ${limitMs}`)
      await until(`${name}: to be replaced`, 30_000, () => replica.state.kind === 'serving' || null)
    }),
  )

  const sent = await Promise.all([made[0]?.stop(), made[1]?.done])
  const sum = { events: 0, duplicates: 0, poison: 0, failed: 0 }
  for (const kind of ['events', 'duplicates', 'poison', 'failed'] as const)
    for (const one of sent) sum[kind] += one?.[kind] ?? 0
  await Promise.all(
    running.map(async ({ world, replica }) => {
      await world.untilDrained()
      // The first world has counted for itself.
      await world.proof(world === first.world ? {} : sum)
      assert.equal(await replica.stop(25_000), null)
    }),
  )
})
