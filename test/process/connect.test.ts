/** Servers that are not there, that are silent, or that are something else: a reason in one line, soon, and a process that can end. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { FatalError } from '../../src/core/errors.ts'
import { parseSettings, type Settings } from '../../src/core/settings.ts'
import { kafkaConfig, kafkaFailure, openKafka } from '../../src/process/connect-kafka.ts'
import { connectPostgres, postgresConfig } from '../../src/process/connect-postgres.ts'
import { connectRedis, redisOptions } from '../../src/process/connect-redis.ts'

const servers: Server[] = []
after(() => Promise.all(servers.map((server) => new Promise((done) => server.close(done)))))

/** The port of a server that does as told with each connection. */
async function serve(greet: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    greet(socket)
  })
  servers.push(server)
  after(() => {
    for (const socket of sockets) socket.destroy()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function closedPort(): Promise<number> {
  const port = await serve(() => {})
  const server = servers.pop()!
  server.close()
  await once(server, 'close')
  return port
}

function at(port: number, env: Record<string, string> = {}): Settings {
  const servers = {
    MILLRACE_KAFKA: `127.0.0.1:${port}`,
    MILLRACE_POSTGRES: `postgres://u:s3cret@127.0.0.1:${port}/db`,
    MILLRACE_REDIS: `redis://:s3cret@127.0.0.1:${port}`,
    MILLRACE_CONNECT_TIMEOUT_MS: '300',
    MILLRACE_KAFKA_REQUEST_TIMEOUT_MS: '1500',
    MILLRACE_REDIS_TIMEOUT_MS: '300',
  }
  return parseSettings({ env: { ...servers, ...env }, readFile: () => assert.fail('no files') }).settings
}

async function connectKafka(settings: Settings): Promise<void> {
  const admin = openKafka(settings).admin()
  try {
    await admin.connect()
    // The client calls a broker connected that did not answer its first question; the next one shows it.
    await admin.describeCluster()
  } catch (error) {
    throw kafkaFailure(error, settings)
  } finally {
    await admin.disconnect()
  }
}

const clients = {
  KAFKA: connectKafka,
  POSTGRES: (settings: Settings) => connectPostgres(settings, 'test'),
  REDIS: (settings: Settings) => connectRedis(settings),
}

async function failure(work: Promise<unknown>): Promise<FatalError> {
  try {
    await work
  } catch (error) {
    assert(error instanceof FatalError, String(error))
    assert.doesNotMatch(error.message + error.remedy, /s3cret/)
    assert.doesNotMatch(error.message, /\n|\.\.$/)
    return error
  }
  return assert.fail('it connected')
}

for (const [name, connect] of Object.entries(clients)) {
  test(`${name}: nobody listens`, async () => {
    const port = await closedPort()
    const { code, message } = await failure(connect(at(port)))
    assert.equal(code, `${name}_UNREACHABLE`)
    assert.match(message, /ECONNREFUSED/)
    assert.match(message, new RegExp(`127.0.0.1:${port}`))
  })

  test(`${name}: a server that accepts and says nothing`, async () => {
    const port = await serve(() => {})
    const began = performance.now()
    const { code } = await failure(connect(at(port)))
    assert.equal(code, `${name}_UNREACHABLE`)
    assert(performance.now() - began < 5000)
  })

  test(`${name}: a server that hangs up`, async () => {
    const port = await serve((socket) => socket.destroy())
    assert.equal((await failure(connect(at(port)))).code, `${name}_UNREACHABLE`)
  })

  test(`${name}: a name that does not resolve`, async () => {
    const nowhere = {
      MILLRACE_KAFKA: 'nowhere.invalid:9092',
      MILLRACE_POSTGRES: 'postgres://u@nowhere.invalid/db',
      MILLRACE_REDIS: 'redis://nowhere.invalid',
    }
    const { code, message } = await failure(connect(at(1, nowhere)))
    assert.equal(code, `${name}_UNREACHABLE`)
    assert.match(message, /nowhere\.invalid/)
  })
}

test('a socket that is not there', async () => {
  const settings = at(1, {
    MILLRACE_POSTGRES: 'postgres:///db?host=/gone&user=u',
    MILLRACE_REDIS: 'unix:///gone/redis.sock',
  })
  for (const [name, connect] of [
    ['POSTGRES', clients.POSTGRES],
    ['REDIS', clients.REDIS],
  ] as const) {
    const { code, message } = await failure(connect(settings))
    assert.equal(code, `${name}_UNREACHABLE`)
    assert.match(message, /ENOENT.*\/gone/)
  }
})

test('a Redis that goes silent later fails each command in time, also while it is away', async () => {
  let answers = true
  const port = await serve((socket) => {
    socket.on('data', (bytes) => {
      if (!answers) return
      // HELLO, INFO and CLIENT each get an answer that the client can live with.
      for (const command of bytes.toString().split('*').slice(1)) {
        socket.write(/\$4\r\ninfo/i.test(command) ? '$9\r\nloading:0\r\n' : '+OK\r\n')
      }
    })
  })
  const redis = await connectRedis(at(port, { MILLRACE_REDIS: `redis://127.0.0.1:${port}` }))
  try {
    assert.equal(await redis.ping(), 'OK')
    answers = false
    const began = performance.now()
    await assert.rejects(redis.ping())
    const took = performance.now() - began
    assert(took > 200 && took < 1500, `${took} ms`)
    await assert.rejects(redis.ping())
    answers = true
    // It comes back by itself.
    await once(redis, 'ready')
    assert.equal(await redis.ping(), 'OK')
  } finally {
    redis.disconnect()
  }
})

test('postgres: TLS as libpq means it', () => {
  const mode = (query: string, env: Record<string, string> = {}) =>
    postgresConfig(at(1, { MILLRACE_POSTGRES: `postgres://u@h:7/db${query}`, ...env }), 'x').ssl
  assert.equal(mode(''), false)
  assert.equal(mode('?sslmode=disable'), false)
  assert.deepEqual(mode('?sslmode=require'), { rejectUnauthorized: false })
  assert.deepEqual(mode('?sslmode=verify-full'), {})
  assert.deepEqual(mode('?sslmode=disable', { MILLRACE_POSTGRES_TLS: 'verify-full' }), {})
  assert.throws(() => mode('?sslmode=prefer'), { code: 'SETTINGS_INVALID' })
  assert.throws(() => mode('?sslmode=verify-ca'), { code: 'SETTINGS_INVALID' })
  assert.throws(
    () => mode('?sslmode=verify-full&sslrootcert=/gone'),
    /sslrootcert of MILLRACE_POSTGRES: cannot read \/gone \(ENOENT\)/,
  )
})

test('postgres: every part of the URL arrives, the password of its own wins', () => {
  const url = 'postgres://us%40er:p%2Fw@[::1]:6543/my%20db?options=-c%20a%3Db'
  const { host, port, user, password, database, options, application_name } = postgresConfig(
    at(1, { MILLRACE_POSTGRES: url }),
    'app',
  )
  assert.deepEqual(
    { host, port, user, password, database, options, application_name },
    {
      host: '::1',
      port: 6543,
      user: 'us@er',
      password: 'p/w',
      database: 'my db',
      options: '-c a=b',
      application_name: 'app',
    },
  )
  assert.equal(postgresConfig(at(1, { MILLRACE_POSTGRES_PASSWORD: 'own' }), 'x').password, 'own')
  assert.equal(postgresConfig(at(1, { MILLRACE_POSTGRES: 'postgres:///db?host=/run/pg' }), 'x').host, '/run/pg')
})

test('redis: URL, user, database and TLS', () => {
  const url = redisOptions(at(1, { MILLRACE_REDIS: 'rediss://me:p%2Fw@h/3', MILLRACE_REDIS_TLS_NAME: 'redis.example' }))
  assert.deepEqual(
    [url.host, url.port, url.username, url.password, url.db, url.tls],
    ['h', 6379, 'me', 'p/w', 3, { servername: 'redis.example' }],
  )
  const { path, host, db } = redisOptions(at(1, { MILLRACE_REDIS: 'unix:///run/my%20redis.sock?db=2' }))
  assert.deepEqual([path, host, db], ['/run/my redis.sock', undefined, 2])
  const own = redisOptions(at(1, { MILLRACE_REDIS_USER: 'other', MILLRACE_REDIS_PASSWORD: 'own' }))
  assert.deepEqual([own.username, own.password, own.tls], ['other', 'own', undefined])
})

test('kafka: TLS and SASL only where asked for', () => {
  const plain = kafkaConfig(at(1))
  assert.deepEqual([plain.ssl, plain.sasl, plain.brokers], [undefined, undefined, ['127.0.0.1:1']])
  const secure = kafkaConfig(
    at(1, {
      MILLRACE_KAFKA_TLS: 'on',
      MILLRACE_KAFKA_SASL_MECHANISM: 'scram-sha-512',
      MILLRACE_KAFKA_USER: 'u',
      MILLRACE_KAFKA_PASSWORD: 'p',
    }),
  )
  assert.deepEqual([secure.ssl, secure.sasl], [{}, { mechanism: 'scram-sha-512', username: 'u', password: 'p' }])
})
