/**
 * The whole flow over TLS with users that may do no more than docs/security.md says: events go through, the proof holds, the doctor is content; and
 * nothing that any of these processes writes, tells or shows anywhere has a secret in it.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, test } from 'node:test'
import kafkajs from 'kafkajs'
import { startLoad } from '../e2e/load.ts'
import { endWatchdog, startReplica } from '../e2e/replica.ts'
import { until, within } from '../e2e/until.ts'
import { millrace } from './command.ts'
import { secureWorld, topic } from './world.ts'

const world = await secureWorld()
const { env, stack, sql, admin, redis } = world
after(endWatchdog)
/** All that was ever written or shown. */
const seen: string[] = []

async function drained(): Promise<void> {
  await until('everything to be stored and published', 60_000, async () => {
    const ends = new Map((await admin.fetchTopicOffsets(topic)).map((one) => [one.partition, Number(one.high)]))
    const { rows } = await sql.query('select partition, next_offset::int as next from ledger')
    if (rows.length === ends.size && rows.every((row) => row.next === ends.get(row.partition))) return true
    throw new Error(JSON.stringify(rows))
  })
}

/** A replica carries a load from its first to its last record, at a log level that says everything there is to say. */
async function carry(seed: number, more: Readonly<Record<string, string>>): Promise<void> {
  const replica = await startReplica('r1', { ...env, ...more, MILLRACE_LOG_LEVEL: 'trace' }, { cwd: world.folder })
  try {
    const load = startLoad({ kafka: { brokers: [stack.kafka] }, topic, seed, rate: 4000, events: 2000 })
    await load.done
    await drained()
    seen.push(readFileSync(`/proc/${replica.pid}/cmdline`, 'utf8'))
    for (const path of ['/status.json', '/metrics', '/healthz', '/readyz']) seen.push((await replica.get(path)).body)
    const sessions = await sql.query("select * from pg_stat_activity where usename = 'ingest'")
    const names = sessions.rows.map((row) => row.application_name)
    assert(names.includes('millrace cloud-events lane 0'), names.join())
    const clients = String(await redis.client('LIST'))
    assert.match(clients, /user=ingest/)
    seen.push(JSON.stringify(sessions.rows), clients)
    const { code } = await replica.stop()
    assert.equal(code, 0, replica.log.slice(-5).join('\n'))
  } finally {
    if (replica.isAlive) replica.kill('SIGKILL')
    await within('the replica to end', 10_000, replica.ended)
    seen.push(replica.log.join('\n'))
  }
}

async function says(args: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<string> {
  const { exit, said } = await millrace(args, { ...env, ...more }, world.folder)
  seen.push(said)
  assert.equal(exit, 0, said)
  return said
}

test('events go through, by SCRAM-SHA-512 with secrets from files, by SCRAM-SHA-256 with secrets in URLs', async () => {
  await carry(1, {})
  const encoded = (what: 'postgres' | 'redis') => encodeURIComponent(world.passwords[what])
  const { MILLRACE_POSTGRES = '', MILLRACE_REDIS = '' } = env
  await carry(2, {
    MILLRACE_KAFKA_SASL_MECHANISM: 'scram-sha-256',
    MILLRACE_KAFKA_PASSWORD_FILE: '',
    MILLRACE_KAFKA_PASSWORD: world.passwords.kafka,
    MILLRACE_POSTGRES_PASSWORD_FILE: '',
    MILLRACE_POSTGRES: MILLRACE_POSTGRES.replace('ingest@', `ingest:${encoded('postgres')}@`),
    MILLRACE_REDIS_PASSWORD_FILE: '',
    MILLRACE_REDIS_USER: '',
    MILLRACE_REDIS: MILLRACE_REDIS.replace('rediss://', `rediss://ingest:${encoded('redis')}@`),
  })
})

test('the proof holds, by a user of Redis that may only read', async () => {
  const result = JSON.parse(await says(['verify', '--to-end', '--json'], { MILLRACE_REDIS_USER: 'auditor' }))
  assert.equal(result.holds, true)
  assert(result.rows > 3000, JSON.stringify(result))
})

test('the doctor finds every right with these very users', async () => {
  const said = await says(['doctor'])
  for (const line of [
    /^ok {4}kafka +records are kept for/m,
    /^ok {4}kafka +the user may read the topic and join the group$/m,
    /^ok {4}kafka +group cloud-events: nobody in it now$/m,
    /^ok {4}postgres +PostgreSQL 18\.\S+, ingest on millrace, over TLS$/m,
    /^ok {4}postgres +every privilege is there$/m,
    /^ok {4}redis +the user may do all that publishing to 7 stream families needs$/m,
    /^ok {4}clocks +Redis's clock/m,
    /^ok {4}ledger +6 of 6 partitions begun, 0 records wait/m,
    /^Fit to run; 2 to think about\.$/m,
  ]) {
    assert.match(said, line)
  }
})

test('an operator looks at rejects and days, judges and sends again, by rights of its own', async () => {
  const clerk = {
    MILLRACE_KAFKA_USER: 'clerk',
    MILLRACE_REDIS_USER: 'auditor',
    MILLRACE_POSTGRES: (env.MILLRACE_POSTGRES as string).replace('ingest@', 'clerk@'),
  }
  await says(['rejects', 'list', '--json'], clerk)
  const ids = (await sql.query("select id from rejects where state = 'open' order by id")).rows.map((row) => row.id)
  assert(ids.length > 4, `${ids.length} rejects`)
  await says(['rejects', 'show', ids[0]], clerk)
  await says(['rejects', 'discard', '--id', ids[0], '--reason', 'a test', '--yes'], clerk)
  await says(['partitions', 'list'], clerk)
  await says(['partitions', 'make', '2027-01-01'], clerk)
  await says(['offsets', 'show'], clerk)
  // Back to the beginning: what is stored is not stored again.
  await says(['offsets', 'set', '--partition', '0', '--to', 'earliest', '--yes'], clerk)
  const send = ['rejects', 'redrive', '--limit', '2', '--yes']
  for (const acl of world.kafkaAclsOf('clerk')) {
    await world.revokeKafka([acl])
    await until('the broker to know', 20_000, async () => {
      const command = acl.operation === kafkajs.AclOperationTypes.DESCRIBE ? ['offsets', 'show'] : send
      const { exit, said } = await millrace(command, { ...env, ...clerk }, world.folder)
      seen.push(said)
      assert.match(said, /^millrace: KAFKA_DENIED: /m)
      return exit === 1
    })
    await world.grantKafka([acl])
  }
  await until('the broker to know', 20_000, async () => says(send, clerk))
  const { rows } = await sql.query('select action, db_user from audit order by id')
  assert(rows.every((row) => row.db_user === 'clerk'))
  assert(rows.some((row) => row.action === 'rejects discard') && rows.some((row) => row.action === 'rejects redrive'))
  const { rows: states } = await sql.query("select count(*)::int from rejects where state = 'redriven'")
  assert(states[0].count >= 2)
})

test('nothing that was written or shown has a secret in it', async () => {
  await says(['settings'])
  await says(['settings', '--json'])
  await says(['settings', '--json'], {
    MILLRACE_POSTGRES: `postgres://ingest:${encodeURIComponent(world.passwords.postgres)}@localhost/millrace`,
    MILLRACE_POSTGRES_PASSWORD_FILE: '',
  })
  const all = seen.join('\n')
  assert(all.length > 20_000)
  assert.match(all, /"level":"debug"/)
  assert.match(all, /\(set, hidden\)/)
  for (const secret of world.secrets()) assert(!all.includes(secret), `seen: ${secret}`)
})
