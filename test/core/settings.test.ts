import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FatalError } from '../../src/core/errors.ts'
import { parseSettings, renderSettingsTable, type Sources, showSetting } from '../../src/core/settings.ts'
import { showBytes } from '../../src/core/settings-kinds.ts'
import { relations } from '../../src/core/settings-relations.ts'
import { envName, names, rows } from '../../src/core/settings-table.ts'

const servers = {
  MILLRACE_KAFKA: 'a:9092, b:9093',
  MILLRACE_POSTGRES: 'postgres://millrace:s3cret@db:5432/events',
  MILLRACE_REDIS: 'redis://r:6379',
}
const nothing = (path: string): string => {
  throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' })
}
const parse = (env: Record<string, string>, more: Partial<Sources> = {}) =>
  parseSettings({ env: { ...servers, ...env }, readFile: nothing, ...more })
const faultsOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    assert(error instanceof FatalError)
    assert.equal(error.code, 'SETTINGS_INVALID')
    return error.message
  }
  return assert.fail('the settings were accepted')
}
const file = (content: unknown) => ({ path: '/etc/millrace.json', text: JSON.stringify(content) })

test('the servers are all it needs', () => {
  const { settings, origins } = parse({})
  assert.deepEqual(settings.kafkaBrokers, ['a:9092', 'b:9093'])
  assert.deepEqual(settings.redisUrls, ['redis://r:6379'])
  assert.equal(settings.batchBytesMax, 4 * 1024 * 1024)
  assert.equal(origins.kafkaBrokers, 'env')
  assert.equal(origins.lanes, 'default')
  assert(Object.isFrozen(settings) && Object.isFrozen(settings.kafkaBrokers))
  assert.deepEqual(Object.keys(settings).sort(), [...names].sort())
})

test('the environment wins over the file, the file over the default', () => {
  const more = { file: file({ lanes: 3, settleMs: 200, redisUrls: 'off', kafkaBrokers: ['c:1'] }) }
  const { settings, origins } = parse({ MILLRACE_LANES: '4' }, more)
  assert.deepEqual([settings.lanes, settings.settleMs, settings.kafkaBrokers], [4, 200, ['a:9092', 'b:9093']])
  assert.deepEqual([origins.lanes, origins.settleMs, origins.heartbeatMs], ['env', 'file', 'default'])
})

test('everything wrong is said at once, with what is allowed', () => {
  const message = faultsOf(() =>
    parse({
      MILLRACE_KAFKA: 'nowhere',
      MILLRACE_LANES: 'many',
      MILLRACE_LOG_LEVEL: 'loud',
      MILLRACE_BATCH_BYTES_MAX: '3TB',
    }),
  )
  assert.match(message, /^4 settings are wrong/)
  assert.match(message, /MILLRACE_KAFKA: given "nowhere"; allowed: host:port/)
  assert.match(message, /MILLRACE_LANES: given "many"; allowed: a whole number from 1 to 64, or auto/)
  assert.match(message, /MILLRACE_LOG_LEVEL: given "loud"; allowed: fatal, error, warn, info, debug, trace/)
  assert.match(message, /MILLRACE_BATCH_BYTES_MAX: given "3TB"; allowed: bytes from 64KiB to 256MiB/)
})

test('missing servers are named, unless the command does not need them', () => {
  const message = faultsOf(() => parseSettings({ env: {}, readFile: nothing }))
  for (const name of Object.keys(servers)) assert.match(message, new RegExp(`${name} is not set`))
  const { settings } = parseSettings({
    env: { MILLRACE_POSTGRES: servers.MILLRACE_POSTGRES },
    readFile: nothing,
    needs: ['postgresUrl'],
  })
  assert.deepEqual([settings.kafkaBrokers, settings.redisUrls], [[], []])
})

test('an empty variable is none', () => {
  assert.equal(parse({ MILLRACE_LANES: '' }).settings.lanes, 2)
})

test('auto follows the cores', () => {
  const auto = (cores: number) => {
    const { settings } = parse({ MILLRACE_LANES: 'auto', MILLRACE_WORKERS: 'auto' }, { cores })
    return [settings.lanes, settings.workers]
  }
  assert.deepEqual(
    [auto(1), auto(2), auto(6), auto(64)],
    [
      [2, 1],
      [2, 1],
      [6, 3],
      [8, 8],
    ],
  )
})

test('a name nobody knows is an error with a guess', () => {
  const message = faultsOf(() => parse({ MILLRACE_LANE: '2' }, { file: file({ setleMs: 3 }) }))
  assert.match(message, /MILLRACE_LANE: no such setting; did you mean MILLRACE_LANES\?/)
  assert.match(message, /setleMs in the settings file: no such setting; did you mean settleMs\?/)
})

test('the variables that Kubernetes makes of services are not ours, and one that hits a setting is explained', () => {
  parse({
    MILLRACE_PORT: 'tcp://10.0.0.7:9464',
    MILLRACE_PORT_9464_TCP: 'tcp://10.0.0.7:9464',
    MILLRACE_PORT_9464_TCP_ADDR: '10.0.0.7',
    MILLRACE_KAFKA_SERVICE_HOST: '10.0.0.8',
    MILLRACE_KAFKA_SERVICE_PORT_CLIENT: '9092',
    MILLRACE_KAFKA_PORT: 'tcp://10.0.0.8:9092',
  })
  assert.match(
    faultsOf(() => parse({ MILLRACE_ADMIN_PORT: 'tcp://10.0.0.7:1' })),
    /enableServiceLinks: false/,
  )
  assert.match(
    faultsOf(() => parse({ MILLRACE_ADMN_PORT: '9464' })),
    /did you mean MILLRACE_ADMIN_PORT/,
  )
})

test('secrets come from files and are never shown', () => {
  const readFile = (path: string) => (path === '/run/pw' ? 'from-file\n' : nothing(path))
  const sasl = { MILLRACE_KAFKA_SASL_MECHANISM: 'plain', MILLRACE_KAFKA_USER: 'u' }
  const { settings, origins } = parse({ ...sasl, MILLRACE_KAFKA_PASSWORD_FILE: '/run/pw' }, { readFile })
  assert.equal(settings.kafkaPassword, 'from-file')
  assert.equal(origins.kafkaPassword, 'env')
  assert.equal(
    parse(sasl, { readFile, file: file({ kafkaPasswordFile: '/run/pw' }) }).settings.kafkaPassword,
    'from-file',
  )
  for (const name of names) assert.doesNotMatch(showSetting(name, settings), /from-file|s3cret/)
  assert.match(showSetting('postgresUrl', settings), /^postgres:\/\/millrace:\*\*\*@db:5432\/events$/)

  assert.match(
    faultsOf(() => parse({ ...sasl, MILLRACE_KAFKA_PASSWORD_FILE: '/gone' })),
    /cannot read \/gone \(ENOENT\)/,
  )
  assert.match(
    faultsOf(() => parse({ ...sasl, MILLRACE_KAFKA_PASSWORD: 'a', MILLRACE_KAFKA_PASSWORD_FILE: '/b' })),
    /both given/,
  )
  for (const url of ['postgres://u:s3cret@a:1,b:2/db', 'mysql://u:s3cret@h/db', 'u:s3cret@h/db']) {
    const message = faultsOf(() => parse({ MILLRACE_POSTGRES: url, MILLRACE_LANES: 'x' }))
    assert.match(message, /MILLRACE_POSTGRES/)
    assert.doesNotMatch(message, /s3cret/)
  }
  const text = '{ "kafkaPassword": "s3cret" "lanes": 1 }'
  assert.doesNotMatch(
    faultsOf(() => parse({}, { file: { path: 'm.json', text } })),
    /s3cret/,
  )
})

test('relations are asserted, with the values that break them', () => {
  const broken: Record<string, string>[] = [
    { MILLRACE_IN_FLIGHT_BYTES_MAX: '2MiB' },
    { MILLRACE_HEARTBEAT_MS: '10000' },
    { MILLRACE_REBALANCE_TIMEOUT_MS: '30000' },
    { MILLRACE_LOCK_TIMEOUT_MS: '15000' },
    { MILLRACE_DRAIN_MS: '15000' },
    { MILLRACE_PROGRESS_TIMEOUT_MS: '60000' },
    { MILLRACE_RETRY_BACKOFF_MIN_MS: '6000' },
    { MILLRACE_FETCH_PARTITION_BYTES_MAX: '8MiB' },
    { MILLRACE_FETCH_WAIT_MS: '10000' },
    { MILLRACE_KAFKA_REQUEST_TIMEOUT_MS: '1000' },
    { MILLRACE_KAFKA_TLS: 'on', MILLRACE_KAFKA_CERT_FILE: '/c' },
    { MILLRACE_KAFKA_CA_FILE: '/c' },
    { MILLRACE_KAFKA_USER: 'u' },
    { MILLRACE_POSTGRES_KEY_FILE: '/k' },
    { MILLRACE_POSTGRES_TLS: 'disable', MILLRACE_POSTGRES_CA_FILE: '/c' },
    { MILLRACE_REDIS: 'rediss://a:1', MILLRACE_REDIS_CERT_FILE: '/c' },
    { MILLRACE_REDIS_CA_FILE: '/c' },
    { MILLRACE_REDIS: 'redis://a:1,rediss://b:1' },
    { MILLRACE_REDIS: 'redis://a:1/2', MILLRACE_REDIS_CLUSTER: 'on' },
    { MILLRACE_REDIS: 'unix:///run/redis.sock', MILLRACE_REDIS_CLUSTER: 'on' },
    { MILLRACE_REDIS_USER: 'u' },
    { MILLRACE_RETENTION_DAYS: '30' },
    { MILLRACE_GATEWAY_TOKEN: 'guessed' },
    { MILLRACE_TRACES: 'on', OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' },
    { MILLRACE_TRACES: 'on', OTEL_EXPORTER_OTLP_HEADERS: 'token' },
  ]
  const met = new Set<string>()
  for (const env of broken) {
    const message = faultsOf(() => parse(env))
    for (const { say } of relations) if (message.includes(say)) met.add(say)
  }
  // fetchBytesMax and batchBytesMax are broken together by the first; every sentence has been seen.
  assert.deepEqual(
    relations.filter(({ say }) => !met.has(say)).map(({ say }) => say),
    [],
  )
  assert.match(
    faultsOf(() => parse({ MILLRACE_HEARTBEAT_MS: '10000' })),
    /heartbeatMs is 10000, sessionTimeoutMs is 30000/,
  )
})

test("a socket's URL names a path", () => {
  const url = 'unix:///run/redis/redis.sock?db=2'
  assert.deepEqual(parse({ MILLRACE_REDIS: url }).settings.redisUrls, [url])
  // Two slashes: `run` would be a host.
  const others = ['unix:///run/redis.sock?db=x', 'redis://h:1/x', 'redis://h:1/1/2']
  for (const wrong of ['unix://run/redis.sock', 'unix://', 'unix:///', ...others]) {
    assert.match(
      faultsOf(() => parse({ MILLRACE_REDIS: wrong })),
      /unix:\/\/\/run\/redis\.sock/,
      wrong,
    )
  }
})

test('every default is allowed, every variable is unique, and the table has a line per setting', () => {
  for (const name of names) {
    const { kind, byDefault } = rows[name]
    if (byDefault !== null) assert(kind.schema.safeParse(byDefault).success, name)
    assert.match(rows[name].doc, /\.$/)
  }
  assert.equal(new Set(names.map(envName)).size, names.length)
  const table = renderSettingsTable()
  for (const name of names) assert(table.includes(`| \`${name}\` | \`${envName(name)}\``), name)
  assert.equal(table.trim().split('\n').length, names.length + 2)
})

test("OpenTelemetry's own variables are taken, and those meant for somebody else harm nobody while traces are off", () => {
  const theirs = { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317', OTEL_EXPORTER_OTLP_HEADERS: 'token' }
  assert.equal(parse(theirs).settings.traces, 'off')
  const { settings } = parse({
    MILLRACE_TRACES: 'on',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'https://u:s3cret@collector:4318/otlp',
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20s3cret',
    OTEL_SERVICE_NAME: 'ingest',
    MILLRACE_TRACE_RATIO: '.5',
  })
  assert.deepEqual([settings.traceServiceName, settings.traceRatio], ['ingest', 0.5])
  assert.equal(showSetting('otlpEndpoint', settings), 'https://u:***@collector:4318/otlp')
  assert.equal(showSetting('otlpHeaders', settings), '(set, hidden)')
  for (const wrong of ['1.1', '-1', '10', '.', ' ', 'half'])
    assert.match(
      faultsOf(() => parse({ MILLRACE_TRACE_RATIO: wrong })),
      /allowed: a number from 0 to 1/,
    )
})

test('any text in any variable is accepted or refused in words', () => {
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.oneof(fc.string(), fc.string({ unit: 'binary' })), (name, value) => {
      try {
        parse({ [envName(name)]: value })
      } catch (error) {
        assert(error instanceof FatalError)
        if (rows[name].secret === 'whole' && value.length > 8) assert(!error.message.includes(value))
      }
    }),
  )
})

test('bytes are read as they are shown', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4096 }), fc.constantFrom(1, 1024, 1024 ** 2), (count, unit) => {
      const parsed = rows.inFlightBytesMax.kind.schema.safeParse(showBytes(count * unit))
      assert.equal(parsed.success, count * unit >= 1024 ** 2)
      if (parsed.success) assert.equal(parsed.data, count * unit)
    }),
  )
})
