/**
 * Every setting, one row each: its kind, its default, and one sentence with its consequence. Type, parser, `millrace settings` and the README's
 * table all come from here. The environment variable is MILLRACE_ and the name in capitals, unless the row names another one: a shorter one, or
 * OpenTelemetry's own.
 */

import type { Kind } from './settings-kinds.ts'
import * as k from './settings-kinds.ts'

export interface Row<T = unknown> {
  readonly kind: Kind<T>
  /** Null: there is no default, a command that needs it refuses to start without. */
  readonly byDefault: T | null
  readonly doc: string
  readonly env?: string
  /** Never printed, and may come from a file: <ENV>_FILE, or <name>File in the settings file. */
  readonly secret?: 'whole' | 'inside'
}

const row = <T>(
  kind: Kind<T>,
  byDefault: T | null,
  doc: string,
  more: { env?: string; secret?: 'whole' | 'inside' } = {},
) => ({ kind, byDefault, doc, ...more }) as Row<T>

const mib = 1024 * 1024
const hourMs = 3_600_000

export const rows = {
  // Kafka
  kafkaBrokers: row(k.brokers, null, 'Brokers to ask first; the rest of the cluster is found from any of them.', {
    env: 'MILLRACE_KAFKA',
  }),
  kafkaTls: row(k.choice('off', 'on'), 'off', "Encrypts the connection and verifies the brokers' certificates."),
  kafkaCaFile: row(k.path, '', "PEM file of the authority that signed the brokers' certificates; empty: the system's."),
  kafkaCertFile: row(k.path, '', 'PEM file of our own certificate, where brokers ask for one (mutual TLS).'),
  kafkaKeyFile: row(k.path, '', 'PEM file of the key of our certificate.'),
  kafkaSaslMechanism: row(
    k.choice('none', 'plain', 'scram-sha-256', 'scram-sha-512'),
    'none',
    'How to log in; plain sends the password itself and wants kafkaTls on.',
  ),
  kafkaUser: row(k.text, '', 'User for SASL.'),
  kafkaPassword: row(k.text, '', 'Password for SASL.', { secret: 'whole' }),
  kafkaClientId: row(k.name, 'millrace', "Name in the brokers' logs, metrics and quotas."),
  kafkaRequestTimeoutMs: row(
    k.whole(1000, 300_000),
    30_000,
    'A request without an answer for so long fails and is retried.',
  ),
  group: row(k.name, '', "Consumer group; empty: the consumer's name. Two groups over one ledger fence each other."),
  startFrom: row(
    k.choice('earliest', 'latest'),
    'earliest',
    'Where a partition begins that the ledger has never seen; latest leaves out what is already there.',
  ),
  fetchBytesMax: row(
    k.bytes(64 * 1024, 256 * mib),
    4 * mib,
    'Answer of one fetch; larger is fewer round trips and more memory.',
  ),
  fetchPartitionBytesMax: row(
    k.bytes(16 * 1024, 64 * mib),
    mib,
    'Share of one partition in a fetch; a lower one is fairer between partitions.',
  ),
  fetchWaitMs: row(
    k.whole(1, 30_000),
    500,
    'How long a broker may hold a fetch that finds nothing; a record ends the wait at once.',
  ),
  fetchPaceMs: row(
    k.whole(0, 1000),
    5,
    'At most one fetch in so many milliseconds: fuller batches from a steady stream. The first record after a silence is not delayed.',
  ),
  sessionTimeoutMs: row(
    k.whole(1000, 1_800_000),
    30_000,
    'A replica silent for so long loses its partitions; the pause after a crash.',
  ),
  heartbeatMs: row(k.whole(100, 600_000), 3000, 'Time between heartbeats to the group.'),
  rebalanceTimeoutMs: row(
    k.whole(1000, 3_600_000),
    60_000,
    'How long a rebalance waits for a replica to finish its batches.',
  ),
  settleMs: row(
    k.whole(50, 60_000),
    1000,
    "At most so often the group's offset in Kafka is moved; lag tools see it this late, correctness never depends on it.",
  ),

  // PostgreSQL
  postgresUrl: row(k.postgresUrl, null, 'Database of the tables and the ledger.', {
    env: 'MILLRACE_POSTGRES',
    secret: 'inside',
  }),
  postgresPassword: row(k.text, '', 'Password, in place of one in the URL.', { secret: 'whole' }),
  postgresTls: row(
    k.choice('url', 'disable', 'require', 'verify-ca', 'verify-full'),
    'url',
    "As libpq's sslmode; require encrypts without verifying. url: what the URL's sslmode says, and without one disable.",
  ),
  postgresCaFile: row(
    k.path,
    '',
    "PEM file of the authority that signed the server's certificate; empty: the system's.",
  ),
  postgresCertFile: row(k.path, '', 'PEM file of our own certificate.'),
  postgresKeyFile: row(k.path, '', 'PEM file of the key of our certificate.'),
  transactionTimeoutMs: row(
    k.whole(1000, 600_000),
    15_000,
    'The server ends a transaction that takes longer, so a stuck replica cannot hold its ledger rows.',
  ),
  lockTimeoutMs: row(k.whole(100, 600_000), 5000, 'How long to wait for a ledger row that another replica holds.'),
  partitionsAheadDays: row(
    k.whole(1, 90),
    7,
    'Daily partitions kept ready from today on; too few and a weekend without a replica makes them late.',
  ),
  sealAfterHours: row(
    k.whole(0, 8760),
    6,
    'So long after its end a day gets its further indexes, statistics and frozen rows, once, by one process of the fleet. 0: never.',
  ),
  retentionDays: row(
    k.whole(0, 36_500),
    0,
    'Days that a table keeps besides today; older ones are taken away for good (see retention). 0 keeps all.',
  ),
  retention: row(
    k.choice('drop', 'detach'),
    'drop',
    'What becomes of a day beyond retentionDays: dropped, or kept beside the table as <table>_detached_YYYY_MM_DD.',
  ),

  // Redis
  redisUrls: row(k.redisUrls, null, 'Where the streams live; off: no streams, PostgreSQL only.', {
    env: 'MILLRACE_REDIS',
    secret: 'inside',
  }),
  redisCluster: row(k.choice('off', 'on'), 'off', 'Speaks to a Redis Cluster; several URLs mean the same.'),
  redisUser: row(k.text, '', 'ACL user, in place of one in the URL.'),
  redisPassword: row(k.text, '', 'Password, in place of one in the URL.', { secret: 'whole' }),
  redisCaFile: row(k.path, '', "PEM file of the authority that signed the servers' certificates; empty: the system's."),
  redisCertFile: row(k.path, '', 'PEM file of our own certificate.'),
  redisKeyFile: row(k.path, '', 'PEM file of the key of our certificate.'),
  redisTlsName: row(k.text, '', 'Name that the certificates bear, for a cluster whose nodes announce bare addresses.'),
  redisTimeoutMs: row(
    k.whole(100, 600_000),
    5000,
    'A command without an answer for so long fails and is retried; repeats add nothing.',
  ),
  publishGraceMs: row(
    k.whole(0, 3_600_000),
    3000,
    'While Redis is away for longer than this, storing goes on without it; the streams are filled in when it is back.',
  ),
  streamLengthMax: row(
    k.whole(0, 1_000_000_000),
    100_000,
    'Entries kept per stream, trimmed by and by; older ones are gone for slow readers. 0 keeps all.',
  ),
  streamLost: row(
    k.choice('refill', 'stop'),
    'refill',
    'What to do about a stream that holds less than the ledger says was published: fill it again from Kafka under the same ids, or stop and say so.',
  ),

  // The flow
  lanes: row(
    k.wholeOrAuto(1, 64),
    2,
    'Serial pipelines per process, each with a PostgreSQL connection of its own; auto: one per core, from 2 to 8.',
  ),
  workers: row(k.wholeOrAuto(1, 64), 'auto', 'Decoding threads; auto: half the cores, from 1 to 8.'),
  batchRowsMax: row(
    k.whole(1, 65_536),
    8192,
    'Records of one batch at most; larger batches copy faster and are late together.',
  ),
  batchBytesMax: row(
    k.bytes(64 * 1024, 256 * mib),
    4 * mib,
    'Bytes of one batch at most; a single larger record still passes, alone.',
  ),
  inFlightBytesMax: row(
    k.bytes(mib, 4096 * mib),
    32 * mib,
    'Record bytes held by the process at most; beyond it nothing is pulled. Resident memory is a few times this.',
  ),
  eventPastDaysMax: row(
    k.whole(1, 3650),
    30,
    'An event older than this is rejected; every day of the window may get a partition.',
  ),
  eventFutureHoursMax: row(
    k.whole(0, 168),
    1,
    'An event further in the future than this is rejected: a wrong clock, not a forecast.',
  ),
  rejectPercentMax: row(
    k.whole(0, 100),
    10,
    'More bad records than this among the last ones stop the process: a wrong deploy must not drain the topic into rejects. 0: no limit.',
  ),
  rejectWindowMs: row(k.whole(1000, hourMs), 60_000, 'The last ones are those of so long.'),
  rejectWindowRecordsMin: row(k.whole(1, 10_000_000), 1000, 'Fewer records than this are not judged by their share.'),
  rejectRunMax: row(
    k.whole(0, 10_000_000),
    1000,
    'So many bad records in a row in one partition stop the process, however slowly they come. 0: no limit.',
  ),
  retryBackoffMinMs: row(k.whole(1, 60_000), 50, 'First pause before the same batch is tried again.'),
  retryBackoffMaxMs: row(k.whole(10, 600_000), 5000, 'Longest pause; the delay after an outage ends.'),

  // The process
  connectTimeoutMs: row(k.whole(100, 120_000), 10_000, 'How long a server may take to answer a first connection.'),
  drainMs: row(
    k.whole(1000, 600_000),
    20_000,
    'Budget of a SIGTERM: finish, settle, leave. Give the supervisor ten seconds more before it kills.',
  ),
  progressTimeoutMs: row(
    k.whole(10_000, hourMs),
    120_000,
    'Lag, and nothing moved for so long: the process is unhealthy and exits.',
  ),
  adminHost: row(k.text, '127.0.0.1', 'Address of /metrics and /healthz; 0.0.0.0 in a container.'),
  adminPort: row(k.whole(0, 65_535), 9464, 'Port of the same; 0 takes any free one and logs it.'),
  replicaAddresses: row(
    k.addresses,
    [],
    'Admin ports that `millrace top` looks at; a name that stands for several hosts is all of them.',
  ),
  replica: row(k.name, '', 'Name of this process in logs and metrics; empty: host name and process id.'),
  logLevel: row(
    k.choice('fatal', 'error', 'warn', 'info', 'debug', 'trace'),
    'info',
    'Least important lines still written; PUT /log-level on the admin port changes it while the process runs.',
  ),
  logFormat: row(k.choice('auto', 'json', 'pretty'), 'auto', 'auto: lines for people on a terminal, JSON elsewhere.'),

  // The server of `millrace serve`
  gatewayHost: row(k.text, '127.0.0.1', 'Address of the server of `millrace serve`; 0.0.0.0 in a container.'),
  gatewayPort: row(k.whole(0, 65_535), 9480, 'Port of the same; 0 takes any free one and logs it.'),
  gatewayToken: row(
    k.text,
    '',
    'What a request must bear, as in Authorization: Bearer <token>; 16 characters or more, and no server without it.',
    { secret: 'whole' },
  ),
  gatewayBodyBytesMax: row(k.bytes(1024, 16 * mib), 64 * 1024, 'Body of one request; a larger one is refused.'),
  gatewayTimeoutMs: row(
    k.whole(1000, hourMs),
    30_000,
    'A request that takes longer is ended, and so is what the database does for it; replays go on.',
  ),
  gatewayReplaysMax: row(k.whole(1, 100), 4, 'Replays that one server runs at a time; one more is refused.'),
  gatewayDirectory: row(
    k.text,
    '',
    'Directory that replays asked for over the network may write files to; empty: they may write none.',
  ),

  // Traces
  traces: row(
    k.choice('off', 'on'),
    'off',
    'Sends spans to an OpenTelemetry receiver: of the events that their producers sample, and of their batches.',
  ),
  otlpEndpoint: row(
    k.otlpEndpoint,
    'http://127.0.0.1:4318',
    'The receiver of traces, OTLP over HTTP in JSON; /v1/traces is added.',
    { env: 'OTEL_EXPORTER_OTLP_ENDPOINT' },
  ),
  otlpHeaders: row(k.otlpHeaders, '', 'Sent to it with every request, say a token.', {
    env: 'OTEL_EXPORTER_OTLP_HEADERS',
    secret: 'whole',
  }),
  traceRatio: row(
    k.share,
    0.01,
    'Share of the batches without a sampled event that are traced too; 0: only what producers sample.',
  ),
  traceServiceName: row(k.text, 'millrace', 'What this fleet is called in traces.', { env: 'OTEL_SERVICE_NAME' }),
} as const

export type SettingName = keyof typeof rows
export const names = Object.keys(rows) as SettingName[]

/** What the code sees: `auto` has become a number, everything else is as parsed. */
export type Settings = {
  readonly [N in SettingName]: (typeof rows)[N] extends Row<infer T>
    ? N extends 'lanes' | 'workers'
      ? number
      : T
    : never
}

export const envName = (name: SettingName): string =>
  (rows[name] as Row).env ?? `MILLRACE_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`

/** Variables that are no settings but belong to us all the same. */
export const otherVariables: readonly string[] = ['MILLRACE_SETTINGS']
