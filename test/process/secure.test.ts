/** TLS, logins and a cluster as deployments have them: each client against a real server that asks for them. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { FatalError } from '../../src/core/errors.ts'
import { parseSettings, type Settings } from '../../src/core/settings.ts'
import { kafkaApis } from '../../src/doctor/kafka-apis.ts'
import { kafkaFailure, openKafka } from '../../src/process/connect-kafka.ts'
import { connectPostgres } from '../../src/process/connect-postgres.ts'
import { connectRedis } from '../../src/process/connect-redis.ts'
import { freePort } from '../../src/stack/ports.ts'
import { startStack } from '../../src/stack/stack.ts'

const folder = mkdtempSync(join(tmpdir(), 'millrace-tls-'))
const file = (name: string) => join(folder, name)
after(() => rmSync(folder, { recursive: true }))

/** An authority, and a server's certificate for localhost: 127.0.0.1 is the wrong name for it. */
function makeCertificates(): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=millrace test authority')
  openssl('req', ...key.slice(0, 5), '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=localhost')
  writeFileSync(file('server.ext'), 'subjectAltName=DNS:localhost\n')
  openssl(
    'x509',
    '-req',
    '-in',
    'server.csr',
    '-CA',
    'ca.pem',
    '-CAkey',
    'ca.key',
    '-CAcreateserial',
    '-days',
    '2',
    '-extfile',
    'server.ext',
    '-out',
    'server.pem',
  )
  writeFileSync(
    file('server.both'),
    readFileSync(file('server.key'), 'utf8') + readFileSync(file('server.pem'), 'utf8'),
  )
  // PostgreSQL refuses a key that others may read, and does not run as root.
  chmodSync(folder, 0o755)
  chmodSync(file('server.both'), 0o644)
}
makeCertificates()

const taken = new Set<number>()
const port = async () => {
  const found = await freePort(taken)
  taken.add(found)
  return found
}
const [kafka, controller, secure, redisTls] = [await port(), await port(), await port(), await port()]
const stack = await startStack({
  root: join(import.meta.dirname, '../..'),
  name: `test-secure-${process.pid}`,
  temporary: true,
  quick: true,
  ports: { kafka, controller },
  kafka: {
    listeners: `PLAINTEXT://127.0.0.1:${kafka},CONTROLLER://127.0.0.1:${controller},SECURE://127.0.0.1:${secure}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${kafka},SECURE://localhost:${secure}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': file('server.both'),
    'sasl.enabled.mechanisms': 'PLAIN',
    'listener.name.secure.plain.sasl.jaas.config':
      'org.apache.kafka.common.security.plain.PlainLoginModule required user_fleet="s3cret";',
  },
  redis: {
    'tls-port': String(redisTls),
    'tls-cert-file': file('server.pem'),
    'tls-key-file': file('server.key'),
    'tls-auth-clients': 'no',
  },
})
after(() => stack.remove())

function settings(env: Record<string, string>): Settings {
  const servers = { MILLRACE_KAFKA: stack.kafka, MILLRACE_POSTGRES: stack.postgres, MILLRACE_REDIS: stack.redis }
  const more = { MILLRACE_CONNECT_TIMEOUT_MS: '3000', MILLRACE_KAFKA_REQUEST_TIMEOUT_MS: '3000' }
  return parseSettings({ env: { ...servers, ...more, ...env }, readFile: (path) => readFileSync(path, 'utf8') })
    .settings
}

async function refused(work: Promise<unknown>, code: string, says: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert(error instanceof FatalError, String(error))
    assert.equal(error.code, code, error.message)
    assert.match(error.message, says)
    assert.doesNotMatch(error.message, /s3cret/)
    return true
  })
}

test('Kafka: TLS and a login, by name and by authority', async () => {
  const whole = {
    MILLRACE_KAFKA: `localhost:${secure}`,
    MILLRACE_KAFKA_TLS: 'on',
    MILLRACE_KAFKA_CA_FILE: file('ca.pem'),
    MILLRACE_KAFKA_SASL_MECHANISM: 'plain',
    MILLRACE_KAFKA_USER: 'fleet',
    MILLRACE_KAFKA_PASSWORD: 's3cret',
  }
  const brokers = async (env: Record<string, string>) => {
    const given = settings(env)
    const admin = openKafka(given).admin()
    try {
      await admin.connect()
      return (await admin.describeCluster()).brokers
    } catch (error) {
      throw kafkaFailure(error, given)
    } finally {
      await admin.disconnect()
    }
  }
  assert.deepEqual(await brokers(whole), [{ nodeId: 1, host: 'localhost', port: secure }])
  const apis = await kafkaApis(settings(whole), `localhost:${secure}`, AbortSignal.timeout(5000))
  assert(apis.has(1))
  await refused(brokers({ ...whole, MILLRACE_KAFKA_PASSWORD: 's3cret-wrong' }), 'KAFKA_AUTH', /refuses the user fleet/)
  await refused(
    brokers({ ...whole, MILLRACE_KAFKA_SASL_MECHANISM: 'scram-sha-512' }),
    'KAFKA_AUTH',
    /does not offer scram-sha-512/,
  )
  await refused(brokers({ ...whole, MILLRACE_KAFKA: `127.0.0.1:${secure}` }), 'KAFKA_AUTH', /TLS handshake.*altnames/)
  const { MILLRACE_KAFKA_CA_FILE: _, ...stranger } = whole
  await refused(brokers(stranger), 'KAFKA_AUTH', /TLS handshake.*(self-signed|unable to verify|local issuer)/)
  const { MILLRACE_KAFKA_TLS: __, ...plain } = stranger
  await refused(brokers(plain), 'KAFKA_UNREACHABLE', /./)
})

test('Redis: TLS by name, by authority, by the name that the certificate bears', async () => {
  const ping = async (env: Record<string, string>) => {
    const client = await connectRedis(settings(env))
    try {
      return await client.ping()
    } finally {
      client.disconnect()
    }
  }
  const url = (host: string) => ({
    MILLRACE_REDIS: `rediss://${host}:${redisTls}`,
    MILLRACE_REDIS_CA_FILE: file('ca.pem'),
  })
  assert.equal(await ping(url('localhost')), 'PONG')
  await refused(ping(url('127.0.0.1')), 'REDIS_AUTH', /TLS handshake.*altnames/)
  assert.equal(await ping({ ...url('127.0.0.1'), MILLRACE_REDIS_TLS_NAME: 'localhost' }), 'PONG')
  await refused(ping({ MILLRACE_REDIS: `rediss://localhost:${redisTls}` }), 'REDIS_AUTH', /TLS handshake/)
  await refused(ping({ MILLRACE_REDIS: stack.redis.replace('redis:', 'rediss:') }), 'REDIS_UNREACHABLE', /TIMEDOUT/)
  await refused(ping({ MILLRACE_REDIS: `redis://localhost:${redisTls}` }), 'REDIS_UNREACHABLE', /./)
  await refused(
    ping({ ...url('localhost'), MILLRACE_REDIS_CA_FILE: '/gone.pem' }),
    'SETTINGS_INVALID',
    /cannot read \/gone\.pem/,
  )
})

test('Redis: an ACL user, in the URL or beside it', async () => {
  const admin = new Redis(stack.redis)
  await admin.call('ACL', 'SETUSER', 'fleet', 'on', '>p/w', '~*', '+@all')
  admin.disconnect()
  const where = stack.redis.slice('redis://'.length)
  const envs: Record<string, string>[] = [
    { MILLRACE_REDIS: `redis://fleet:p%2Fw@${where}` },
    { MILLRACE_REDIS_USER: 'fleet', MILLRACE_REDIS_PASSWORD: 'p/w' },
  ]
  for (const env of envs) {
    const client = await connectRedis(settings(env))
    assert.equal(await client.call('ACL', 'WHOAMI'), 'fleet')
    client.disconnect()
  }
  await refused(
    connectRedis(settings({ MILLRACE_REDIS_USER: 'fleet', MILLRACE_REDIS_PASSWORD: 'no' })),
    'REDIS_AUTH',
    /WRONGPASS/,
  )
})

test('Redis: a cluster', async () => {
  const single = await startStack({
    root: join(import.meta.dirname, '../..'),
    name: `test-cluster-${process.pid}`,
    servers: ['redis'],
    temporary: true,
    redis: { 'cluster-enabled': 'yes', 'cluster-announce-ip': '127.0.0.1' },
  })
  try {
    const cluster = settings({ MILLRACE_REDIS: single.redis, MILLRACE_REDIS_CLUSTER: 'on' })
    await refused(connectRedis(cluster), 'REDIS_UNREACHABLE', /cluster/)
    const node = new Redis(single.redis)
    await node.cluster('ADDSLOTSRANGE', 0, 16383)
    while (!String(await node.cluster('INFO')).includes('cluster_state:ok')) await sleep(50)
    node.disconnect()
    const client = await connectRedis(cluster)
    try {
      assert(client instanceof Cluster)
      assert.equal(await client.xadd('events:cloud:{7}', '1-0', 'event', '{}'), '1-0')
    } finally {
      client.disconnect()
    }
  } finally {
    await single.remove()
  }
  await refused(connectRedis(settings({ MILLRACE_REDIS_CLUSTER: 'on' })), 'SETTINGS_INVALID', /not a cluster/)
})

test('PostgreSQL: each TLS mode against a server that has TLS', async () => {
  const key = readFileSync(file('server.key'), 'utf8')
  const data = join(stack.folder, 'postgres')
  const { uid, gid } = statSync(data)
  for (const [name, text] of [
    ['server.pem', readFileSync(file('server.pem'), 'utf8')],
    ['server.key', key],
  ] as const) {
    writeFileSync(join(data, name), text, { mode: 0o600 })
    execFileSync('chown', [`${uid}:${gid}`, join(data, name)])
  }
  const admin = await connectPostgres(settings({}), 'test')
  await admin.query("alter system set ssl_cert_file = 'server.pem'")
  await admin.query("alter system set ssl_key_file = 'server.key'")
  await admin.query('alter system set ssl = on')
  await refused(tls({ MILLRACE_POSTGRES_TLS: 'require' }), 'POSTGRES_AUTH', /does not support SSL/)
  await admin.query('select pg_reload_conf()')
  while ((await admin.query('show ssl')).rows[0].ssl !== 'on') await sleep(50)
  await admin.end()

  async function tls(env: Record<string, string>): Promise<boolean> {
    const client = await connectPostgres(settings(env), 'test')
    const { rows } = await client.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')
    await client.end()
    return rows[0].ssl
  }
  const ca = { MILLRACE_POSTGRES_CA_FILE: file('ca.pem') }
  const named = { MILLRACE_POSTGRES: stack.postgres.replace('127.0.0.1', 'localhost') }
  assert.equal(await tls({}), false)
  assert.equal(await tls({ MILLRACE_POSTGRES: `${stack.postgres}?sslmode=require` }), true)
  assert.equal(await tls({ ...ca, MILLRACE_POSTGRES_TLS: 'verify-ca' }), true)
  assert.equal(await tls({ ...ca, ...named, MILLRACE_POSTGRES_TLS: 'verify-full' }), true)
  const inUrl = `${named.MILLRACE_POSTGRES}?sslmode=verify-full&sslrootcert=${encodeURIComponent(file('ca.pem'))}`
  assert.equal(await tls({ MILLRACE_POSTGRES: inUrl }), true)
  assert.equal(await tls({ MILLRACE_POSTGRES: `${inUrl}&sslnegotiation=direct` }), true)
  await refused(tls({ ...ca, MILLRACE_POSTGRES_TLS: 'verify-full' }), 'POSTGRES_AUTH', /TLS handshake.*altnames/)
  await refused(tls({ ...named, MILLRACE_POSTGRES_TLS: 'verify-full' }), 'POSTGRES_AUTH', /TLS handshake/)
})
