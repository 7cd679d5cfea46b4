/**
 * Who is not let in is told why in one line, and what to do; the process ends with exit code 1 after a handful of connections, and nothing was written
 * anywhere. Every right that docs/security.md and migrations/roles.sql give is taken away once: each is needed, and its lack is named.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { pino } from 'pino'
import { type Code, FatalError } from '../../src/core/errors.ts'
import { createMetrics } from '../../src/core/registry.ts'
import { parseSettings } from '../../src/core/settings.ts'
import { connectRedis } from '../../src/process/connect-redis.ts'
import { loadConsumer } from '../../src/process/load-consumer.ts'
import { openRooms } from '../../src/process/open-rooms.ts'
import { checkRedis } from '../../src/process/preflight.ts'
import { startRedisCluster } from '../chaos/ground/redis-cluster.ts'
import type { RedisServer } from '../chaos/ground/redis-server.ts'
import { startLoad } from '../e2e/load.ts'
import { endWatchdog, startReplica } from '../e2e/replica.ts'
import { until, within } from '../e2e/until.ts'
import { millrace } from './command.ts'
import { secureWorld, topic } from './world.ts'

const world = await secureWorld()
const { env, proxies, sql, redis, admin, stack } = world
const consumer = await loadConsumer('cloud-events')
const seen: string[] = []
after(endWatchdog)

async function nothingWasDone(): Promise<void> {
  assert.deepEqual((await sql.query('select * from ledger')).rows, [])
  assert.deepEqual((await sql.query('select * from cloud_events')).rows, [])
  assert.deepEqual(await redis.keys('*'), [])
  const { groups } = await admin.listGroups()
  assert.deepEqual(groups, [])
}

/** For the cases of one test together. More would be a storm: kafkajs asks six times where it cannot know that it is pointless. */
const connectionsMax = 12
type Refusal = readonly [code: Code, says: RegExp, env: Readonly<Record<string, string>>]

/** Side by side: most of the time of each is waiting. */
async function refuses(...given: readonly Refusal[]): Promise<void> {
  for (const proxy of Object.values(proxies)) proxy.connections = 0
  const patience = {
    MILLRACE_LOG_LEVEL: 'debug',
    MILLRACE_CONNECT_TIMEOUT_MS: '4000',
    MILLRACE_RETRY_BACKOFF_MAX_MS: '300',
  }
  await Promise.all(
    given.map(async ([code, says, more]) => {
      const { exit, said, ms } = await millrace(
        ['consume', 'cloud-events'],
        { ...env, ...more, ...patience },
        world.folder,
      )
      seen.push(said)
      const [told = ''] = said.split('\n').filter((line) => line.startsWith('millrace: '))
      assert.match(told, new RegExp(`^millrace: ${code}: .+\\. .+`), said)
      assert.match(told, says)
      assert.equal(exit, 1)
      assert(ms < 20_000, `${ms} ms`)
    }),
  )
  for (const [name, { connections }] of Object.entries(proxies)) {
    assert(connections <= connectionsMax, `${connections} connections to ${name}`)
  }
  await nothingWasDone()
}

const stranger = world.file('stranger.pem')
const wrong = world.file('wrong.password', 'wr0ng:secret\n')

test('an authority that has not signed', () =>
  refuses(
    ['KAFKA_AUTH', /TLS handshake with Kafka.*(signature|self-signed|verify)/, { MILLRACE_KAFKA_CA_FILE: stranger }],
    ['POSTGRES_AUTH', /TLS handshake with PostgreSQL/, { MILLRACE_POSTGRES_CA_FILE: stranger }],
    ['REDIS_AUTH', /TLS handshake with Redis/, { MILLRACE_REDIS_CA_FILE: stranger }],
  ))

test('a certificate for another host', () => {
  const elsewhere = (name: string) => ({ [name]: (env[name] as string).replace('localhost', '127.0.0.1') })
  return refuses(
    ['KAFKA_AUTH', /altnames/, elsewhere('MILLRACE_KAFKA')],
    ['POSTGRES_AUTH', /altnames/, elsewhere('MILLRACE_POSTGRES')],
    ['REDIS_AUTH', /altnames/, elsewhere('MILLRACE_REDIS')],
  )
})

test('a certificate that has expired', async () => {
  const serve = (name: string) =>
    redis.config('SET', 'tls-cert-file', world.file(`${name}.pem`), 'tls-key-file', world.file(`${name}.key`))
  await serve('expired')
  await refuses(
    ['KAFKA_AUTH', /certificate has expired/, { MILLRACE_KAFKA: `localhost:${proxies.kafkaExpired.port}` }],
    ['REDIS_AUTH', /certificate has expired/, {}],
  )
  await serve('server')
  await world.postgresCertificate('expired')
  await refuses(['POSTGRES_AUTH', /certificate has expired/, {}])
  await world.postgresCertificate('server')
})

test('a wrong password; no certificate of our own where one is asked for; no TLS', async () => {
  await refuses(
    ['KAFKA_AUTH', /refuses the user ingest/, { MILLRACE_KAFKA_PASSWORD_FILE: wrong }],
    ['POSTGRES_AUTH', /password authentication failed/, { MILLRACE_POSTGRES_PASSWORD_FILE: wrong }],
    ['REDIS_AUTH', /WRONGPASS/, { MILLRACE_REDIS_PASSWORD_FILE: wrong }],
  )
  await refuses(
    [
      'REDIS_AUTH',
      /TLS handshake.*certificate required/,
      { MILLRACE_REDIS_CERT_FILE: '', MILLRACE_REDIS_KEY_FILE: '' },
    ],
    [
      'POSTGRES_AUTH',
      /pg_hba\.conf.*MILLRACE_POSTGRES_TLS/,
      { MILLRACE_POSTGRES_TLS: 'disable', MILLRACE_POSTGRES_CA_FILE: '' },
    ],
  )
})

/** All that happens before the first record, without the seconds that a process takes to start. */
async function start(more: Readonly<Record<string, string>> = {}): Promise<void> {
  const { settings } = parseSettings({ env: { ...env, ...more }, readFile: (path) => readFileSync(path, 'utf8') })
  await using opened = new AsyncDisposableStack()
  await openRooms(
    {
      settings,
      consumer,
      logger: pino({ level: 'trace' }, { write: (line: string) => void seen.push(line) }),
      metrics: createMetrics(),
      nowMs: Date.now,
      sleep: async () => {},
      signal: new AbortController().signal,
      onError: (error: Error) => assert.fail(error),
      onRedisBack: () => {},
    } as Parameters<typeof openRooms>[0],
    opened,
  )
}

async function lacks(code: Code, says: RegExp): Promise<void> {
  await assert.rejects(start(), (error) => {
    assert(error instanceof FatalError, String(error))
    seen.push(error.stack ?? '')
    assert.equal(error.code, code, error.message)
    assert.match(error.message, says)
    assert.match(error.remedy, /docs\/security\.md|migrations\/roles\.sql/)
    return true
  })
}

test('Kafka: each grant', async () => {
  await start()
  const named = { 2: 'topic', 3: 'group' } as Record<number, string>
  for (const acl of world.kafkaAclsOf('ingest')) {
    await world.revokeKafka([acl])
    const what = `Read on ${named[acl.resourceType]} ${acl.resourceName}`
    // Only the doctor looks at the configuration.
    const isDoctors = acl.operation !== 3
    const settled = async (work: () => Promise<void>) =>
      // A broker learns of a grant a moment after the answer.
      until('the broker to know', 10_000, () => work().then(() => true))
    await settled(async () => {
      if (!isDoctors) return lacks('KAFKA_DENIED', new RegExp(`lacks ${what}|Topic authorization failed`))
      await start()
      const { said } = await millrace(['doctor'], env, world.folder)
      assert.match(said, /^warn {2}kafka +the topic's configuration may not be read$/m)
    })
    await world.grantKafka([acl])
    await settled(() => start())
  }
})

test('PostgreSQL: each grant', async () => {
  const { rows } = await sql.query(`
    select a.privilege_type as privilege, c.relname as name, format('%I', c.relname) as target from pg_class c, aclexplode(c.relacl) a
      where a.grantee = 'millrace_fleet'::regrole and not (c.relispartition and a.privilege_type = 'SELECT')
    union all
    select a.privilege_type, p.proname, 'routine ' || p.oid::regprocedure from pg_proc p, aclexplode(p.proacl) a
      where a.grantee = 'millrace_fleet'::regrole`)
  const grants = rows as { privilege: string; name: string; target: string }[]
  assert(grants.length >= 10 && grants.some(({ name }) => name === 'millrace_advance'), JSON.stringify(grants))
  for (const { privilege, name, target } of grants) {
    await sql.query(`revoke ${privilege} on ${target} from millrace_fleet`)
    await lacks('POSTGRES_DENIED', new RegExp(`lacks .*${privilege} on ${name}`))
    await sql.query(`grant ${privilege} on ${target} to millrace_fleet`)
  }
  // What everybody has, until somebody takes it away; the script gives it to its roles then.
  for (const [privilege, target, what] of [
    ['temporary', 'database millrace', /lacks TEMPORARY on database millrace/],
    ['usage', 'schema public', /lacks USAGE on schema public/],
    ['connect', 'database millrace', /permission denied for database/],
  ] as const) {
    await sql.query(`revoke ${privilege} on ${target} from public, millrace_fleet`)
    await lacks('POSTGRES_DENIED', what)
    await sql.query(readFileSync(join(import.meta.dirname, '../../migrations/roles.sql'), 'utf8'))
    await start()
  }
  const elsewhere = { MILLRACE_POSTGRES: (env.MILLRACE_POSTGRES as string).replace(/\/millrace$/, '/nowhere') }
  await refuses(['POSTGRES_DENIED', /no such database/i, elsewhere])
})

test('Redis: each grant', async () => {
  const words = world.redisAcl('ingest')
  const grants = words.filter((word) => /^[+~%]/.test(word))
  assert(grants.length >= 7, words.join(' '))
  for (const grant of grants) {
    await world.setRedisUser(words.filter((word) => word !== grant))
    const command = grant.startsWith('+') ? grant.slice(1).replace('|', ' ') : 'FCALL on events:cloud:\\{0\\}'
    await lacks('REDIS_DENIED', new RegExp(`lacks .*${command}|'${command}' command`, 'i'))
  }
  // A family that the pattern does not cover is named before an event of it comes by.
  await world.setRedisUser(words.map((word) => (word.startsWith('~') ? '~events:cloud:*' : word)))
  await lacks('REDIS_DENIED', /lacks FCALL on events:customer:\{0\}/)
  await world.setRedisUser(words)
  await start()
  await nothingWasDone()
})

test('Redis Cluster: what it needs besides', async () => {
  const cluster = await startRedisCluster({
    root: join(import.meta.dirname, '../..'),
    name: `test-security-cluster-${process.pid}`,
    nodes: 1,
  })
  const { admin: node } = cluster.nodes[0] as RedisServer
  try {
    const { settings } = parseSettings({
      env: {
        ...env,
        ...cluster.env,
        MILLRACE_REDIS_CA_FILE: '',
        MILLRACE_REDIS_CERT_FILE: '',
        MILLRACE_REDIS_KEY_FILE: '',
      },
      readFile: (path) => readFileSync(path, 'utf8'),
    })
    const ask = async () => {
      const client = await connectRedis(settings)
      try {
        await checkRedis(client, consumer.definition.families ?? [])
      } finally {
        client.disconnect()
      }
    }
    const words = world.redisAcl('ingest')
    const more = world.redisMore('ingest').find((line) => line.some((word) => word.includes('cluster'))) as string[]
    await node.call('ACL', 'SETUSER', ...words, ...more)
    await ask()
    for (const word of more) {
      await node.call('ACL', 'SETUSER', ...words, ...more.filter((other) => other !== word))
      await assert.rejects(ask(), /cluster.?(\||slots)/, word)
    }
  } finally {
    await cluster.remove()
  }
})

test('a right that is taken away from a fleet at work ends it; given back, the next one goes on where it stopped', async (t) => {
  const steps: [Code, take: () => Promise<unknown>, give: () => Promise<unknown>][] = [
    [
      'KAFKA_DENIED',
      () => world.revokeKafka(world.kafkaAclsOf('ingest').slice(0, 1)),
      () => world.grantKafka(world.kafkaAclsOf('ingest').slice(0, 1)),
    ],
    [
      'REDIS_DENIED',
      () => redis.call('ACL', 'SETUSER', 'ingest', '-fcall'),
      () => redis.call('ACL', 'SETUSER', 'ingest', '+fcall'),
    ],
    [
      // The password was changed, and the connection is made anew.
      'REDIS_AUTH',
      () =>
        redis
          .call('ACL', 'SETUSER', 'ingest', 'resetpass', '>another')
          .then(() => redis.client('KILL', 'USER', 'ingest')),
      () => world.setRedisUser(world.redisAcl('ingest')),
    ],
  ]
  const load = startLoad({ kafka: { brokers: [stack.kafka] }, topic, seed: 3, rate: 300 })
  t.after(() => load.stop())
  for (const [code, take, give] of steps) {
    const replica = await startReplica('r1', { ...env, MILLRACE_LOG_LEVEL: 'trace' }, { cwd: world.folder })
    try {
      await until('it to publish', 30_000, async () => ((await replica.status()).totals.entries > 0 ? true : null))
      await take()
      const { code: exit } = await within(`the replica to end by ${code}`, 30_000, replica.ended)
      assert.equal(exit, 1)
      const told = replica.log.filter((line) => line.startsWith('millrace: '))
      assert.match(told[0] as string, new RegExp(`^millrace: ${code}: `), replica.log.slice(-10).join('\n'))
    } finally {
      if (replica.isAlive) replica.kill('SIGKILL')
      seen.push(replica.log.join('\n'))
      await give()
    }
  }
  await load.stop()
  const replica = await startReplica('r1', env, { cwd: world.folder })
  await until('everything to be stored', 30_000, async () => {
    const ends = new Map((await admin.fetchTopicOffsets(topic)).map((one) => [one.partition, Number(one.high)]))
    const { rows } = await sql.query('select partition, next_offset::int as next from ledger')
    return rows.length === ends.size && rows.every((row) => row.next === ends.get(row.partition)) ? true : null
  })
  assert.equal((await replica.stop()).code, 0)
  const { exit, said } = await millrace(
    ['verify', '--to-end'],
    { ...env, MILLRACE_REDIS_USER: 'auditor' },
    world.folder,
  )
  assert.equal(exit, 0, said)
})

test('nothing that was said has a secret in it', () => {
  const all = seen.join('\n')
  assert(all.length > 10_000)
  for (const secret of [...world.secrets(), 'wr0ng']) assert(!all.includes(secret), `said: ${secret}`)
})
