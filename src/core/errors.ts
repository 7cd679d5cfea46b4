/**
 * The reactions. A class names what happens next, `code` names the cause, `cause` keeps the driver's own error.
 *
 *   TransientError  the world is busy: the same work again, after a capped backoff
 *   LostError       this work is no longer ours (revoked, fenced, a store went back): unwind, settle nothing, read the marks again
 *   FatalError      nothing that runs by itself can mend it: say what to do, exit non-zero
 *
 * A bad record is none of these: it is a value (see verdict.ts). Anything not in this file is unknown, and unknown is fatal.
 */

import type { Condemned } from './batch.ts'

/** Every code a person can meet, one row each; the README's table is held equal to this one by a test. */
export const codes = {
  // world
  KAFKA_UNREACHABLE: 'No broker answers at the configured address.',
  KAFKA_AUTH: 'The broker refuses the credentials or the TLS handshake.',
  KAFKA_DENIED: 'The broker answers, but the principal may not do what the fleet needs.',
  KAFKA_CRASHED: 'The Kafka client gave up; the process exits so that a supervisor can start it anew.',
  KAFKA_VERSION: 'The broker is older than the fleet supports.',
  POSTGRES_UNREACHABLE: 'PostgreSQL does not answer at the configured address.',
  POSTGRES_AUTH: 'PostgreSQL refuses the user, the password or the TLS handshake.',
  POSTGRES_DENIED: 'The PostgreSQL user lacks a privilege.',
  POSTGRES_VERSION: 'The PostgreSQL server is older than 18.',
  POSTGRES_FULL: 'PostgreSQL has no room left on its disk.',
  POSTGRES_BUSY: 'PostgreSQL refuses for now: lock, deadlock, shutdown, too many connections.',
  POSTGRES_FAILED: 'PostgreSQL answered with an error that is in no table of ours.',
  REDIS_UNREACHABLE: 'Redis does not answer at the configured address.',
  REDIS_AUTH: 'Redis refuses the user, the password or the TLS handshake.',
  REDIS_DENIED: 'The Redis user lacks a command or a key pattern.',
  REDIS_VERSION: 'The Redis server is older than 7, or lacks functions.',
  REDIS_EVICTS: 'maxmemory-policy is not noeviction: Redis would throw away whole streams.',
  REDIS_FULL: 'Redis has reached maxmemory and refuses to write.',
  REDIS_BUSY: 'Redis refuses for now: loading, failing over, busy with a script.',
  REDIS_FAILED: 'Redis answered with an error that is in no table of ours.',
  // what stands between the marks
  FENCED: 'Another process has moved this partition on.',
  PUBLISH_BEHIND: 'Redis is back after an absence: lanes go back to what was published, and fill in what is missing.',
  ROW_REFUSED: 'PostgreSQL refuses a row that the decoder let through; its record becomes a reject.',
  REVOKED: 'The partition was given to another member of the group.',
  STREAM_LOST: 'A stream holds less than the ledger says was published.',
  RETENTION_OVERTOOK: 'Kafka no longer holds records that were never stored.',
  TOPIC_TRUNCATED: 'The ledger is ahead of the end of the partition: the topic was recreated or truncated.',
  TOPIC_RECREATED: 'The topic was deleted and made anew: its offsets are not those of the ledger.',
  // configuration
  SETTINGS_INVALID: 'One or more settings are missing or wrong.',
  CONSUMER_UNKNOWN: 'There is no such file in consumers/.',
  CONSUMER_INVALID: 'The consumer file does not define a consumer.',
  REDUCER_UNKNOWN: 'There is no such file in reducers/, or none is about such a subject.',
  REDUCER_INVALID: 'The reducer file does not define a reducer.',
  REDUCER_FAILED: 'A reducer throws, or answers what is no plain JSON.',
  TOPIC_MISSING: 'The topic does not exist.',
  TOPIC_SHRUNK: 'The topic has fewer partitions than the ledger knows.',
  SCHEMA_MISSING: 'The database has not been migrated.',
  SCHEMA_NEWER: 'The database was migrated by a newer, incompatible version.',
  PORT_BUSY: 'The port to serve on is taken by another process.',
  REJECT_LIMIT: 'Too many records are bad: a wrong deploy, not a bad record.',
  REDRIVE_BUSY: 'Another redrive of the consumer is under way.',
  REDRIVE_IN_DOUBT: 'Kafka no longer remembers whether an interrupted redrive had sent its last batch.',
  SUBJECT_UNKNOWN: 'No event that is kept has this subject.',
  HISTORY_EXPIRED:
    'What is asked for is not kept any more: the time is before the oldest day, or the offset before the first.',
  SNAPSHOT_MISSING: 'There is no snapshot, or events came later that belong before it.',
  SNAPSHOT_WRONG: 'A snapshot is not what a fold of its events answers.',
  POSITION_MISSING: 'No position was saved under this name.',
  // the server
  TOKEN_WRONG: 'A request bears no token, or another one than the server has.',
  REQUEST_INVALID: 'A request is not as the OpenAPI document says.',
  REQUEST_UNKNOWN: 'The server has nothing under this path or for this method.',
  REQUEST_LIMIT: 'A request is too large, or too much is under way.',
  REQUEST_TIMEOUT: 'A request took longer than it may, and was ended.',
  REQUEST_REPEATED: 'An Idempotency-Key was used for another request, or for one that is not over.',
  DEBUG_UNKNOWN: 'There is no such debug session: it was ended, left alone for too long, or lost with a restart.',
  DRAIN_TIMEOUT: 'The drain did not end within its budget.',
  NO_PROGRESS: 'There is lag, and nothing has moved for too long.',
  // local stack and tools
  SETUP_FAILED: 'A part of the local stack could not be installed.',
  STACK_FAILED: 'A server of the local stack did not start.',
  DISK_FULL: 'No room left on the disk.',
  REPLICA_UNREACHABLE: 'No replica answers at the addresses that were given or found.',
  VERIFY_FAILED: 'The proof does not hold: something is lost, doubled or out of order.',
  REPLAY_BUSY: 'Another replay writes to this target, or was interrupted there.',
  REPLAY_UNKNOWN: 'There is no such replay, or it has come to its end.',
  REPLAY_TARGET: 'The target of a replay is not as it has to be.',
  REPLAY_REFUSED: 'The target does not take what is replayed to it.',
  USAGE: 'The command line is not understood.',
  BUG: 'A law of the house was broken: please report it.',
} as const

export type Code = keyof typeof codes

/** What the house itself throws: the reaction is in the class, the reason in the code. */
export abstract class Reaction extends Error {
  readonly code: Code
  constructor(code: Code, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.name = new.target.name
  }
}

export class TransientError extends Reaction {}

export class LostError extends Reaction {}

/** The batch holds rows that the store refuses for what they are: it has to be decoded again, with their records as rejects. */
export class RefusedError extends LostError {
  readonly records: readonly Condemned[]
  constructor(records: readonly Condemned[]) {
    const [first] = records
    super('ROW_REFUSED', `${records.length} rows, the first at ${first?.partition}/${first?.offset}: ${first?.reason}`)
    this.records = records
  }
}

export class FatalError extends Reaction {
  /** One sentence: what a person should do now. */
  readonly remedy: string
  constructor(code: Code, message: string, remedy: string, cause?: unknown) {
    super(code, message, cause)
    this.remedy = remedy
  }
}

/** The law of the house was broken. Not a reaction: a crash, with both sides in the message. */
export function assert(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new FatalError('BUG', message(), 'Report this message together with the log lines before it.')
}

/** One line for people: code, what is wrong, what to do. */
export function explain(error: unknown): string {
  if (error instanceof FatalError) return `${error.code}: ${error.message} ${error.remedy}`
  if (error instanceof TransientError || error instanceof LostError) return `${error.code}: ${error.message}`
  return error instanceof Error ? `UNKNOWN: ${error.message}` : `UNKNOWN: ${String(error)}`
}
