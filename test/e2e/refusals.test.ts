/** What is wrong from outside is said in one line, with a code and what to do; the process ends with a code of its own, and has changed nothing. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import pg from 'pg'
import type { Code } from '../../src/core/errors.ts'
import { freePort } from '../../src/stack/ports.ts'
import { root, topic, useStack, type World } from './harness.ts'
import { cleanEnv } from './replica.ts'
import { within } from './until.ts'

const servers = useStack()

interface Refusal {
  readonly code: Code
  readonly says: RegExp
  readonly exit?: number
  readonly env?: Readonly<Record<string, string>>
  readonly consumer?: string
}

/** The whole command, as a person or a supervisor sees it. */
async function run(world: World, env: Readonly<Record<string, string>>, consumer: string) {
  const child = spawn(process.execPath, [join(root, 'src/main.ts'), 'consume', consumer], {
    cwd: world.stack.folder,
    env: cleanEnv({ ...world.env, ...env, MILLRACE_LOG_LEVEL: 'warn' }),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  try {
    const startedMs = performance.now()
    const exit = await within(
      'the command to end',
      60_000,
      new Promise<number | null>((resolve) => child.once('close', resolve)),
    )
    return { exit, said, ms: performance.now() - startedMs }
  } finally {
    child.kill('SIGKILL')
  }
}

async function refuses(
  t: TestContext,
  world: World,
  { code, says, exit = 1, env = {}, consumer = 'cloud-events' }: Refusal,
) {
  const ended = await run(world, env, consumer)
  // Several wrong settings are a list; everything else is one line.
  const last = ended.said.slice(ended.said.indexOf('millrace: ')).trimEnd().replaceAll(/\n\s*/g, ' ')
  const told = ended.said.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  if (code !== 'SETTINGS_INVALID') assert.equal(told.length, 1, ended.said)
  t.diagnostic(`${Math.round(ended.ms)} ms: ${last}`)
  assert.match(last, new RegExp(`^millrace: ${code}: .+[.!?] .+`), ended.said)
  assert.match(last, says)
  assert.doesNotMatch(ended.said, /^\s+at /m, 'no stack')
  assert.equal(ended.exit, exit)
  assert.doesNotMatch(ended.said, /s3cret/)
}

const unreachable = async () => `127.0.0.1:${await freePort(new Set())}`

test('the command line and the settings', async (t) => {
  const world = await servers.world(t)
  const given: Refusal[] = [
    { code: 'CONSUMER_UNKNOWN', consumer: 'cloud-event', says: /Did you mean 'cloud-events'\?/ },
    { code: 'CONSUMER_UNKNOWN', consumer: '../src/define', says: /no consumer/ },
    { code: 'SETTINGS_INVALID', exit: 2, env: { MILLRACE_KAFKA: '' }, says: /MILLRACE_KAFKA/ },
    {
      code: 'SETTINGS_INVALID',
      exit: 2,
      env: { MILLRACE_LANES: 'many', MILLRACE_BATCH_ROW_MAX: '1', MILLRACE_LOCK_TIMEOUT_MS: '9000' },
      says: /(?=.*MILLRACE_LANES)(?=.*MILLRACE_BATCH_ROW_MAX)(?=.*lockTimeoutMs)/,
    },
    { code: 'SETTINGS_INVALID', exit: 2, env: { MILLRACE_SETTINGS: 'nowhere.json' }, says: /nowhere\.json/ },
  ]
  for (const one of given) await refuses(t, world, one)
})

test('servers that do not answer, or do not let us in', async (t) => {
  const world = await servers.world(t)
  const wrong = (changes: Partial<URL>) => Object.assign(new URL(world.postgresUrl), changes).href
  const given: Refusal[] = [
    { code: 'KAFKA_UNREACHABLE', env: { MILLRACE_KAFKA: await unreachable() }, says: /Check MILLRACE_KAFKA/ },
    {
      code: 'POSTGRES_UNREACHABLE',
      env: { MILLRACE_POSTGRES: `postgres://a:s3cret@${await unreachable()}/a` },
      says: /MILLRACE_POSTGRES/,
    },
    { code: 'POSTGRES_AUTH', env: { MILLRACE_POSTGRES: wrong({ password: 's3cret' }) }, says: /password/ },
    { code: 'POSTGRES_DENIED', env: { MILLRACE_POSTGRES: wrong({ pathname: '/nowhere' }) }, says: /nowhere/ },
    {
      code: 'REDIS_UNREACHABLE',
      env: { MILLRACE_REDIS: `redis://:s3cret@${await unreachable()}` },
      says: /Check MILLRACE_REDIS/,
    },
  ]
  for (const one of given) await refuses(t, world, one)
  // A server that takes connections and says nothing is the same to us, in bounded time.
  const silent = createServer(() => {}).listen(0, '127.0.0.1')
  await new Promise((resolve) => silent.once('listening', resolve))
  const at = `127.0.0.1:${(silent.address() as { port: number }).port}`
  const quick = { MILLRACE_CONNECT_TIMEOUT_MS: '1000', MILLRACE_KAFKA_REQUEST_TIMEOUT_MS: '1500' }
  await refuses(t, world, {
    code: 'POSTGRES_UNREACHABLE',
    env: { ...quick, MILLRACE_POSTGRES: `postgres://a:b@${at}/a` },
    says: /./,
  })
  await refuses(t, world, { code: 'REDIS_UNREACHABLE', env: { ...quick, MILLRACE_REDIS: `redis://${at}` }, says: /./ })
  await refuses(t, world, { code: 'KAFKA_UNREACHABLE', env: { ...quick, MILLRACE_KAFKA: at }, says: /./ })
  silent.close()
})

test('a database without the schema, a user without a privilege, a Redis that evicts, a port that is taken', async (t) => {
  const world = await servers.world(t)
  const empty = `${world.name}_empty`
  await world.sql.query(`CREATE DATABASE ${empty}`)
  await refuses(t, world, {
    code: 'SCHEMA_MISSING',
    env: { MILLRACE_POSTGRES: Object.assign(new URL(world.postgresUrl), { pathname: `/${empty}` }).href },
    says: /millrace migrate/,
  })

  const busy = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => busy.once('listening', resolve))
  const { port } = busy.address() as { port: number }
  await refuses(t, world, {
    code: 'PORT_BUSY',
    env: { MILLRACE_ADMIN_PORT: String(port) },
    says: /MILLRACE_ADMIN_PORT/,
  })
  busy.close()

  await world.redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await refuses(t, world, { code: 'REDIS_EVICTS', says: /allkeys-lru.*noeviction/ })
  await world.redis.config('SET', 'maxmemory-policy', 'noeviction')

  const user = `${world.name}_user`
  await world.sql.query(`CREATE ROLE ${user} LOGIN PASSWORD 's3cret'`)
  await world.sql.query('GRANT SELECT ON millrace_migrations, cloud_events, ledger, rejects TO PUBLIC')
  await world.sql.query('GRANT INSERT, UPDATE ON ledger, rejects TO PUBLIC')
  const env = {
    MILLRACE_POSTGRES: Object.assign(new URL(world.postgresUrl), { username: user, password: 's3cret' }).href,
  }
  await refuses(t, world, {
    code: 'POSTGRES_DENIED',
    env,
    says: /lacks INSERT on cloud_events.*Grant what migrations\/roles\.sql/,
  })

  const { rows } = await world.sql.query('SELECT count(*)::int FROM ledger WHERE next_offset > start_offset')
  assert.equal(rows[0].count, 0, 'nothing was moved')
  assert.deepEqual(await world.redis.keys('*'), [])
})

test('a user with no more than what migrations/roles.sql grants carries a load; without one right it stops, and nothing is lost', async (t) => {
  const world = await servers.world(t)
  const user = `${world.name}_user`
  const client = new pg.Client({ connectionString: world.postgresUrl })
  await client.connect()
  await client.query(readFileSync(join(root, 'migrations/roles.sql'), 'utf8'))
  await client.query(`CREATE ROLE ${user} LOGIN PASSWORD 's3cret' IN ROLE millrace_fleet`)
  t.after(() => client.end())
  const env = {
    MILLRACE_POSTGRES: Object.assign(new URL(world.postgresUrl), { username: user, password: 's3cret' }).href,
  }
  const replica = await world.replica(env)
  const load = world.load({ rate: 1000, duplicates: 0.01 })
  await world.untilServing()
  replica.expectEnd()
  await client.query('REVOKE UPDATE ON ledger FROM millrace_fleet')
  assert.equal((await within('the replica to stop', 45_000, replica.ended)).code, 1)
  assert.match(
    replica.log.at(-1) as string,
    /^millrace: POSTGRES_DENIED: permission denied for table ledger.* Grant what migrations\/roles\.sql/,
  )
  await client.query('GRANT UPDATE ON ledger TO millrace_fleet')
  await world.replica(env)
  await world.untilServing()
  await load.stop()
  await world.untilDrained()
  await world.proof()
})

// The last tests of the file: they take the topic away.
async function recreate({ admin }: World, partitions: number): Promise<void> {
  if ((await admin.listTopics()).includes(topic)) await admin.deleteTopics({ topics: [topic] })
  if (partitions === 0) return
  for (let attempt = 0; ; attempt++) {
    try {
      await admin.createTopics({ topics: [{ topic, numPartitions: partitions }], waitForLeaders: true })
      return
    } catch (error) {
      // Kafka deletes in its own time.
      if (attempt > 50) throw error
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

test('a topic that is missing, that shrank', async (t) => {
  const world = await servers.world(t)
  await world.load({ rate: 2000, events: 2000 }).done
  const replica = await world.replica()
  await world.untilDrained()
  await world.proof()
  assert.equal((await replica.stop()).code, 0)
  const before = [await world.ledger(), await world.rows()]
  await recreate(world, 0)
  await refuses(t, world, { code: 'TOPIC_MISSING', says: /--create/ })
  await recreate(world, 4)
  await refuses(t, world, { code: 'TOPIC_SHRUNK', says: /4 partitions.*partition 11/ })
  assert.deepEqual([await world.ledger(), await world.rows()], before)
})
