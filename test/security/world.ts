/**
 * Servers as a careful deployment has them: TLS everywhere, certificates made on the spot, and users with exactly the rights that docs/security.md and
 * migrations/roles.sql grant. The very lines of that page are run here, so it can not say anything else than what works.
 *
 * The servers keep a plain address too, for the stack and for the tests to look behind the scenes. The fleet's addresses lead through proxies that
 * count connections.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import kafkajs from 'kafkajs'
import pg from 'pg'
import { migrate } from '../../src/schema/migrate.ts'
import { freePort } from '../../src/stack/ports.ts'
import { run, which } from '../../src/stack/run.ts'
import { startStack } from '../../src/stack/stack.ts'
import { startProxy } from '../e2e/proxy.ts'
import { type Authority, makeAuthority, type Pem } from './certificates.ts'

const root = join(import.meta.dirname, '../..')
export const topic = 'cloud-events'
export const group = 'cloud-events'
const page = readFileSync(join(root, 'docs/security.md'), 'utf8')
/** Commands that go on behind a backslash are one line. */
const pageLines = page.replaceAll('\\\n', ' ').split('\n')

/** Reserved in URLs, in shells and in properties files: a password may have any of it. */
const secret = (what: string) => `${what}:/@%&${randomBytes(9).toString('base64url')}`

/** Call at the top of a test file. */
export async function secureWorld() {
  const open = new AsyncDisposableStack()
  after(() => open.disposeAsync())
  const folder = mkdtempSync(join(tmpdir(), 'millrace-secure-'))
  open.defer(() => rmSync(folder, { recursive: true }))
  const file = (name: string, text?: string) => {
    const path = join(folder, name)
    if (text !== undefined) writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const passwords = { kafka: secret('kafka'), postgres: secret('postgres'), redis: secret('redis') }
  for (const [name, password] of Object.entries(passwords)) file(`${name}.password`, `${password}\n`)

  const now = Date.now()
  const authority = makeAuthority('millrace test authority', now)
  const certificates = {
    server: write('server', authority.issue({ name: 'localhost', hosts: ['localhost'] })),
    expired: write('expired', authority.issue({ name: 'localhost', hosts: ['localhost'], validUntil: now - 60_000 })),
    client: write('client', authority.issue({ name: 'ingest' })),
  }
  const ca = file('ca.pem', authority.certificate)
  file('stranger.pem', makeAuthority('millrace test authority', now).certificate)
  function write(name: string, { certificate, key }: ReturnType<Authority['issue']>): Pem {
    file(`${name}.pem`, certificate)
    file(`${name}.key`, key)
    file(`${name}.both`, key + certificate)
    return { certificate, key }
  }

  const taken = new Set<number>()
  const port = async () => {
    const found = await freePort(taken)
    taken.add(found)
    return found
  }
  const ports = { kafka: await port(), controller: await port(), secure: await port(), expired: await port() }
  const postgresPort = await port()
  const redisTls = await port()
  const counted = async (target: number) => {
    const state = { connections: 0, port: 0 }
    const proxy = await startProxy(`tcp://127.0.0.1:${target}`, ({ client, server }) => {
      state.connections++
      return { fromClient: (bytes) => void server.write(bytes), fromServer: (bytes) => void client.write(bytes) }
    })
    open.defer(() => proxy.close())
    state.port = proxy.port
    return state
  }
  const proxies = {
    kafka: await counted(ports.secure),
    kafkaExpired: await counted(ports.expired),
    postgres: await counted(postgresPort),
    redis: await counted(redisTls),
  }

  const listener = (name: string, keys: string) => ({
    [`listener.name.${name}.ssl.keystore.type`]: 'PEM',
    [`listener.name.${name}.ssl.keystore.location`]: file(keys),
    [`listener.name.${name}.scram-sha-512.sasl.jaas.config`]: scram,
    [`listener.name.${name}.scram-sha-256.sasl.jaas.config`]: scram,
  })
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;'
  const stack = await startStack({
    root,
    name: `test-security-${process.pid}`,
    temporary: true,
    quick: true,
    ports: { kafka: ports.kafka, controller: ports.controller, postgres: postgresPort },
    kafka: {
      listeners: `PLAINTEXT://127.0.0.1:${ports.kafka},CONTROLLER://127.0.0.1:${ports.controller},SECURE://127.0.0.1:${ports.secure},EXPIRED://127.0.0.1:${ports.expired}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${ports.kafka},SECURE://localhost:${proxies.kafka.port},EXPIRED://localhost:${proxies.kafkaExpired.port}`,
      'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,EXPIRED:SASL_SSL',
      'sasl.enabled.mechanisms': 'SCRAM-SHA-256,SCRAM-SHA-512',
      ...listener('secure', 'server.both'),
      ...listener('expired', 'expired.both'),
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      // Who comes by the plain address.
      'super.users': 'User:ANONYMOUS',
    },
    redis: {
      'tls-port': String(redisTls),
      'tls-cert-file': file('server.pem'),
      'tls-key-file': file('server.key'),
      'tls-ca-cert-file': ca,
      'tls-auth-clients': 'yes',
    },
  })
  open.defer(() => stack.remove())

  const kafka = new kafkajs.Kafka({ brokers: [stack.kafka], logLevel: kafkajs.logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  open.defer(() => admin.disconnect())
  const redis = new Redis(stack.redis)
  open.defer(() => redis.disconnect())
  const sql = new pg.Client(stack.postgres)
  await sql.connect()
  open.defer(() => sql.end())

  /** The tool of docs/security.md, run as it is said there; our own client has no such request. */
  async function makeKafkaUser(): Promise<void> {
    const java = (await which('java')) as string
    const words = ['--bootstrap-server', stack.kafka, '--alter', '--entity-type', 'users', '--entity-name']
    const add = async (user: string, mechanism: string) => {
      const config = file(`${user}-${mechanism}.properties`, `${mechanism}=password=${passwords.kafka}\n`)
      const jvm = [`@${join(stack.folder, 'kafka.jvm')}`, 'kafka.admin.ConfigCommand']
      const ran = await run(java, [...jvm, ...words, user, '--add-config-file', config])
      if (ran.code !== 0) throw new Error(ran.out)
    }
    await Promise.all([add('ingest', 'SCRAM-SHA-512'), add('ingest', 'SCRAM-SHA-256'), add('clerk', 'SCRAM-SHA-512')])
    await admin.createTopics({ topics: [{ topic, numPartitions: 6 }], waitForLeaders: true })
    await grantKafka(kafkaAcls)
  }

  const kafkaAcls = pageLines.filter((line) => line.startsWith('kafka-acls.sh')).map(aclOf)
  const grantKafka = (acl: readonly Acl[]) => admin.createAcls({ acl: [...acl] })
  const revokeKafka = (acl: readonly Acl[]) => admin.deleteAcls({ filters: [...acl] })

  async function makePostgresUser(): Promise<void> {
    await migrate({ session: sql, signal: AbortSignal.timeout(30_000) })
    await sql.query(readFileSync(join(root, 'migrations/roles.sql'), 'utf8'))
    for (const line of pageLines.filter((line) => line.startsWith('create role '))) await sql.query(line)
    await sql.query(`alter role ingest password ${pg.escapeLiteral(passwords.postgres)}`)
    await sql.query(`alter role clerk password ${pg.escapeLiteral(passwords.postgres)}`)
    const data = join(stack.folder, 'postgres')
    const { uid, gid } = statSync(data)
    for (const name of ['server.pem', 'server.key', 'expired.pem', 'expired.key']) {
      writeFileSync(join(data, name), readFileSync(file(name)), { mode: 0o600 })
      execFileSync('chown', [`${uid}:${gid}`, join(data, name)])
    }
    const [allow = ''] = pageLines.filter((line) => line.startsWith('hostssl'))
    const here = `${allow.replace('10.0.0.0/8', '127.0.0.1/32')}\nhostnossl all ingest,clerk all reject\n`
    const hba = join(data, 'pg_hba.conf')
    writeFileSync(hba, here + readFileSync(hba, 'utf8'))
    await sql.query('alter system set ssl = on')
    await postgresCertificate('server')
  }

  async function postgresCertificate(name: 'server' | 'expired'): Promise<void> {
    await sql.query(`alter system set ssl_cert_file = '${name}.pem'`)
    await sql.query(`alter system set ssl_key_file = '${name}.key'`)
    await sql.query('select pg_reload_conf()')
    for (let shown = ''; shown !== `${name}.pem/on`; await sleep(20)) {
      const { rows } = await sql.query(
        "select current_setting('ssl_cert_file') || '/' || current_setting('ssl') as shown",
      )
      shown = rows[0].shown
    }
  }

  const redisLines = pageLines.filter((line) => line.startsWith('ACL SETUSER '))
  /** Words of the page's line that gives `user` its rights, the password filled in. */
  const redisAcl = (user: string) =>
    (redisLines.find((line) => line.startsWith(`ACL SETUSER ${user} reset`)) as string)
      .replace('PASSWORD', passwords.redis)
      .split(' ')
      .slice(2)
  /** What the page's other lines add for it: of the cluster, of the proof. */
  const redisMore = (user: string) =>
    redisLines.filter((line) => line.startsWith(`ACL SETUSER ${user} +`)).map((line) => line.split(' ').slice(3))
  const setRedisUser = (words: readonly string[]) => redis.call('ACL', 'SETUSER', ...words)
  for (const user of ['ingest', 'auditor']) await setRedisUser(redisAcl(user))

  await Promise.all([makeKafkaUser(), makePostgresUser()])

  return {
    stack,
    folder,
    file,
    passwords,
    certificates,
    proxies,
    admin,
    redis,
    sql,
    kafkaAclsOf: (user: string) => kafkaAcls.filter(({ principal }) => principal === `User:${user}`),
    grantKafka,
    revokeKafka,
    redisAcl,
    redisMore,
    setRedisUser,
    postgresCertificate,
    /** What the page says to set, with our addresses: secrets from files. */
    env: {
      MILLRACE_KAFKA: `localhost:${proxies.kafka.port}`,
      MILLRACE_KAFKA_TLS: 'on',
      MILLRACE_KAFKA_CA_FILE: ca,
      MILLRACE_KAFKA_SASL_MECHANISM: 'scram-sha-512',
      MILLRACE_KAFKA_USER: 'ingest',
      MILLRACE_KAFKA_PASSWORD_FILE: file('kafka.password'),
      MILLRACE_POSTGRES: `postgres://ingest@localhost:${proxies.postgres.port}/millrace`,
      MILLRACE_POSTGRES_TLS: 'verify-full',
      MILLRACE_POSTGRES_CA_FILE: ca,
      MILLRACE_POSTGRES_PASSWORD_FILE: file('postgres.password'),
      MILLRACE_REDIS: `rediss://localhost:${proxies.redis.port}`,
      MILLRACE_REDIS_CA_FILE: ca,
      MILLRACE_REDIS_CERT_FILE: file('client.pem'),
      MILLRACE_REDIS_KEY_FILE: file('client.key'),
      MILLRACE_REDIS_USER: 'ingest',
      MILLRACE_REDIS_PASSWORD_FILE: file('redis.password'),
      MILLRACE_ADMIN_PORT: '0',
      MILLRACE_LOG_FORMAT: 'json',
      MILLRACE_WORKERS: '1',
    } as Readonly<Record<string, string>>,
    /** Everything that must never be seen anywhere, in the forms in which it might be. */
    secrets: () => {
      const plain = Object.values(passwords)
      const encoded = plain.map((one) => encodeURIComponent(one))
      const inBase64 = plain.map((one) => Buffer.from(one).toString('base64').replaceAll('=', ''))
      const keys = Object.values(certificates).map(({ key }) => key.split('\n')[1] as string)
      return [...plain, ...encoded, ...inBase64, ...keys]
    },
  }
}

export type SecureWorld = Awaited<ReturnType<typeof secureWorld>>
type Acl = Parameters<kafkajs.Admin['createAcls']>[0]['acl'][number]

/** `--allow-principal User:ingest --operation Read --topic cloud-events` */
function aclOf(line: string): Acl {
  const word = (name: string) => new RegExp(`--${name} (\\S+)`).exec(line)?.[1]
  const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs
  const { READ, WRITE, DESCRIBE, DESCRIBE_CONFIGS } = AclOperationTypes
  const operation = { Read: READ, Write: WRITE, Describe: DESCRIBE, DescribeConfigs: DESCRIBE_CONFIGS }[
    word('operation') as string
  ]
  const { TOPIC, GROUP, TRANSACTIONAL_ID } = AclResourceTypes
  const [resourceType, resourceName] = [
    [TOPIC, word('topic')] as const,
    [GROUP, word('group')] as const,
    [TRANSACTIONAL_ID, word('transactional-id')] as const,
  ].find(([, name]) => name !== undefined) as [number, string]
  return {
    resourceType,
    resourceName,
    resourcePatternType: ResourcePatternTypes.LITERAL,
    principal: word('allow-principal') as string,
    host: '*',
    operation: operation as number,
    permissionType: AclPermissionTypes.ALLOW,
  }
}
