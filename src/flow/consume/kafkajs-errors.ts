/**
 * What an error of kafkajs means, for people. One table; kafkajs wraps errors in each other (`cause`, and the original of a retry that gave up), so the
 * first of the chain that says something decides. null: not in the table, and unknown is fatal to whoever asked.
 */
import { type Code, FatalError } from '../../core/errors.ts'

interface Fault {
  name?: string
  type?: string
  code?: unknown
  message?: string
  broker?: string
  cause?: unknown
  originalError?: unknown
  errors?: unknown[]
}

interface Row {
  readonly code: Code
  readonly what: (fault: Fault, topic: string) => string
  readonly remedy: string
}

const unreachable: Row = {
  code: 'KAFKA_UNREACHABLE',
  what: (fault) =>
    `No Kafka broker answers${fault.broker ? ` at ${fault.broker}` : ''}: ${fault.message ?? 'no answer'}.`,
  remedy: 'Check MILLRACE_KAFKA, and that the broker runs (`npm run stack -- status` for the local one).',
}
const denied: Row = {
  code: 'KAFKA_DENIED',
  what: (fault, topic) => `Kafka refuses the operation on '${topic}': ${fault.message ?? fault.type}.`,
  remedy: 'Grant the principal the access that the README lists under privileges.',
}

/** By kafkajs's class name. */
const byName: Readonly<Record<string, Row>> = {
  KafkaJSSASLAuthenticationError: {
    code: 'KAFKA_AUTH',
    what: (fault) => `Kafka refuses the credentials: ${fault.message}.`,
    remedy: 'Check the SASL mechanism, user and password in the settings.',
  },
  // The socket could not be opened, was closed, or did not answer in time.
  KafkaJSConnectionError: unreachable,
  KafkaJSConnectionClosedError: unreachable,
  KafkaJSRequestTimeoutError: unreachable,
  KafkaJSBrokerNotFound: unreachable,
  KafkaJSNoBrokerAvailableError: unreachable,
  // Thrown by a send that meets the producer between two connections.
  KafkaJSLockTimeout: unreachable,
}

/** By the protocol's own error names. */
const byType: Readonly<Record<string, Row>> = {
  UNKNOWN_TOPIC_OR_PARTITION: {
    code: 'TOPIC_MISSING',
    what: (_, topic) => `The topic '${topic}' does not exist.`,
    remedy: 'Create it, or let `millrace simulate --create` do so.',
  },
  TOPIC_AUTHORIZATION_FAILED: denied,
  GROUP_AUTHORIZATION_FAILED: denied,
  CLUSTER_AUTHORIZATION_FAILED: denied,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: denied,
  // The leader is moving or a replica is missing: the broker is there, but not able to serve.
  NOT_LEADER_FOR_PARTITION: unreachable,
  LEADER_NOT_AVAILABLE: unreachable,
  NOT_ENOUGH_REPLICAS: unreachable,
  NOT_ENOUGH_REPLICAS_AFTER_APPEND: unreachable,
  REQUEST_TIMED_OUT: unreachable,
}

/** A chain longer than this is a circle. */
const depthMax = 8

function rowOf(error: unknown, depth = 0): { row: Row; fault: Fault } | null {
  if (typeof error !== 'object' || error === null || depth > depthMax) return null
  const fault = error as Fault
  // TLS failures come as connection errors whose text names the certificate or the handshake.
  const tls = /certificate|self.signed|\bSSL\b|TLS/i.test(fault.message ?? '')
  if (fault.name === 'KafkaJSConnectionError' && tls) {
    const remedy = 'Check the TLS settings: the CA, the server name, and whether this port speaks TLS.'
    return {
      row: { code: 'KAFKA_AUTH', what: () => `The TLS handshake with Kafka failed: ${fault.message}.`, remedy },
      fault,
    }
  }
  const row = byType[fault.type ?? ''] ?? byName[fault.name ?? '']
  if (row !== undefined) return { row, fault }
  for (const inner of [fault.cause, fault.originalError, ...(fault.errors ?? [])]) {
    const found = rowOf(inner, depth + 1)
    if (found !== null) return found
  }
  return null
}

export function explainKafka(error: unknown, topic: string): FatalError | null {
  if (error instanceof FatalError) return error
  const found = rowOf(error)
  return found === null
    ? null
    : new FatalError(found.row.code, found.row.what(found.fault, topic), found.row.remedy, error)
}
