/** What the Kafka client is told, from settings; and what a failed first connection means. */
import net from 'node:net'
import tls from 'node:tls'
import kafkajs, { type ISocketFactory, type Kafka, type KafkaConfig, type SASLOptions } from 'kafkajs'
import { type Code, FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { mendKafkajs } from '../flow/consume/kafkajs-mend.ts'
import { causes, saidBy } from './cause.ts'
import { pems, readPem } from './read-pem.ts'

const keepAliveMs = 60_000

export function kafkaConfig(settings: Settings, logCreator?: NonNullable<KafkaConfig['logCreator']>): KafkaConfig {
  mendKafkajs()
  const { kafkaSaslMechanism: mechanism, kafkaUser: username, kafkaPassword: password } = settings
  return {
    brokers: [...settings.kafkaBrokers],
    clientId: settings.kafkaClientId,
    connectionTimeout: settings.connectTimeoutMs,
    authenticationTimeout: settings.connectTimeoutMs,
    requestTimeout: settings.kafkaRequestTimeoutMs,
    enforceRequestTimeout: true,
    retry: { initialRetryTime: Math.max(100, settings.retryBackoffMinMs), maxRetryTime: settings.retryBackoffMaxMs },
    socketFactory: openSocket,
    ...(settings.kafkaTls === 'on' && {
      ssl: pems(
        readPem(settings, 'kafkaCaFile'),
        readPem(settings, 'kafkaCertFile'),
        readPem(settings, 'kafkaKeyFile'),
      ),
    }),
    ...(mechanism !== 'none' && { sasl: { mechanism, username, password } as SASLOptions }),
    ...(logCreator === undefined
      ? { logLevel: kafkajs.logLevel.NOTHING }
      : { logLevel: kafkajs.logLevel.INFO, logCreator }),
  }
}

/** For tools that ask a few questions: no log, no patience. */
export function openKafka(settings: Settings): Kafka {
  return new kafkajs.Kafka({ ...kafkaConfig(settings), retry: { retries: 1, initialRetryTime: 100 } })
}

/**
 * kafkajs leaves Nagle's algorithm on: a commit or heartbeat written while the broker holds a long fetch of the same connection would wait for the
 * broker's delayed acknowledgement, up to 40 ms on Linux.
 */
export const openSocket: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  // The client passes null where there is no TLS, whatever its types say.
  const secure = ssl as tls.ConnectionOptions | null | undefined
  const socket = secure
    ? tls.connect({ host, port, ...(net.isIP(host) === 0 && { servername: host }), ...secure }, onConnect)
    : net.connect({ host, port }, onConnect)
  socket.setKeepAlive(true, keepAliveMs)
  socket.setNoDelay(true)
  return socket
}

const coordinatorNotFound = 'KafkaJSGroupCoordinatorNotFound'

/** The failure of a client at work, where the reason is that the broker does not let it in, or not any more. */
export function kafkaRefusal(error: unknown, settings: Settings): FatalError | null {
  // At work this may as well be brokers that come and go.
  if (causes(error).some(({ name }) => name === coordinatorNotFound)) return null
  const failure = kafkaFailure(error, settings)
  return failure.code === 'KAFKA_AUTH' || failure.code === 'KAFKA_DENIED' ? failure : null
}

/** The error of a request about a topic that is not there, or that the user may not see. */
export const isTopicMissing = (error: unknown): boolean =>
  causes(error).some((one) => (one as { type?: string }).type === 'UNKNOWN_TOPIC_OR_PARTITION')

/** For commands of operators, whose users often have fewer rights than the fleet's. `of`: whose topic it is. */
export const topicMissing = (topic: string, of = '', cause?: unknown): FatalError =>
  new FatalError(
    'TOPIC_MISSING',
    `The topic '${topic}'${of} does not exist, or this user may not see it.`,
    'Check MILLRACE_KAFKA, or grant the user Describe on it.',
    cause,
  )

/** A failed start-up request, by what the client throws. Unknown stays unknown: the caller rethrows what is not in this table. */
export function kafkaFailure(error: unknown, settings: Settings): FatalError {
  const where = settings.kafkaBrokers.join(', ')
  const found = causes(error)
  const text = saidBy(error)
  const named = (name: string) => found.some((one) => one.name === name)
  const typed = (...types: string[]) => found.some((one) => types.includes((one as { type?: string }).type ?? ''))
  const fail = (code: Code, what: string, remedy: string) => new FatalError(code, what, remedy, error)

  if (named('KafkaJSSASLAuthenticationError') || typed('SASL_AUTHENTICATION_FAILED')) {
    return fail(
      'KAFKA_AUTH',
      `Kafka at ${where} refuses the user ${settings.kafkaUser}.`,
      'Check MILLRACE_KAFKA_USER, MILLRACE_KAFKA_PASSWORD and MILLRACE_KAFKA_SASL_MECHANISM.',
    )
  }
  if (typed('UNSUPPORTED_SASL_MECHANISM')) {
    return fail(
      'KAFKA_AUTH',
      `Kafka at ${where} does not offer ${settings.kafkaSaslMechanism}.`,
      'Set MILLRACE_KAFKA_SASL_MECHANISM to one that the listener offers.',
    )
  }
  if (found.some((one) => /_AUTHORIZATION_FAILED$/.test((one as { type?: string }).type ?? ''))) {
    return fail(
      'KAFKA_DENIED',
      `Kafka denies the user what it needs: ${text}.`,
      'Grant it: docs/security.md has the commands for the fleet and for operators.',
    )
  }
  // The client asks every broker and drops what each has answered; those that do not answer at all fail before.
  if (named(coordinatorNotFound)) {
    return fail(
      'KAFKA_DENIED',
      'No broker says who coordinates the group or transactional id: most likely the user may not see it.',
      'Grant Read on the group, Write on the transactional id: docs/security.md has the commands.',
    )
  }
  if (/certificate|self.signed|altnames|SSL routines|TLS|EPROTO|wrong version number/i.test(text)) {
    return fail(
      'KAFKA_AUTH',
      `The TLS handshake with Kafka at ${where} failed: ${text}.`,
      'Check MILLRACE_KAFKA_TLS, MILLRACE_KAFKA_CA_FILE and that the port is the TLS listener.',
    )
  }
  if (named('KafkaJSServerDoesNotSupportApiKey') || typed('UNSUPPORTED_VERSION')) {
    return fail(
      'KAFKA_VERSION',
      `Kafka at ${where} does not know a request we need: ${text}.`,
      'Use Apache Kafka 3.0 or newer.',
    )
  }
  if (
    named('KafkaJSConnectionError') ||
    named('KafkaJSConnectionClosedError') ||
    named('KafkaJSRequestTimeoutError') ||
    named('KafkaJSNumberOfRetriesExceeded') ||
    named('KafkaJSNoBrokerAvailableError') ||
    /Broker not connected|ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH/.test(text)
  ) {
    const hint =
      settings.kafkaTls === 'off' && /closed|disconnected|ECONNRESET/i.test(text)
        ? ' If the listener speaks TLS, set MILLRACE_KAFKA_TLS=on.'
        : ''
    return fail(
      'KAFKA_UNREACHABLE',
      `Kafka does not answer at ${where}: ${text}.`,
      `Check MILLRACE_KAFKA and that the broker runs and advertises an address reachable from here.${hint}`,
    )
  }
  return fail('KAFKA_CRASHED', `Kafka at ${where}: ${text}.`, 'See the log lines before this one.')
}
