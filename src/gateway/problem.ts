/**
 * What went wrong, as RFC 9457 has it: the status for a program, the code that the command line gives for the same, one sentence on what is wrong and
 * one on what to do. The table says which status a code has; what is not in it is our own fault.
 */
import { type Code, codes, FatalError, LostError, TransientError } from '../core/errors.ts'

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly code: Code
  readonly remedy?: string
  /** Where a request is not as it has to be. */
  readonly errors?: readonly { readonly at: string; readonly message: string }[]
}

const statuses: Partial<Record<Code, number>> = {
  USAGE: 400,
  REQUEST_INVALID: 400,
  TOKEN_WRONG: 401,
  // The users of this server at the servers behind it.
  KAFKA_DENIED: 403,
  POSTGRES_DENIED: 403,
  REDIS_DENIED: 403,
  REQUEST_UNKNOWN: 404,
  DEBUG_UNKNOWN: 404,
  REPLAY_UNKNOWN: 404,
  SUBJECT_UNKNOWN: 404,
  SNAPSHOT_MISSING: 404,
  POSITION_MISSING: 404,
  TOPIC_MISSING: 404,
  HISTORY_EXPIRED: 410,
  REPLAY_BUSY: 409,
  REPLAY_TARGET: 409,
  SNAPSHOT_WRONG: 409,
  TOPIC_RECREATED: 409,
  TOPIC_TRUNCATED: 409,
  FENCED: 409,
  REQUEST_REPEATED: 409,
  // The request is well made; what it names is not there, or does not do.
  CONSUMER_UNKNOWN: 422,
  REDUCER_UNKNOWN: 422,
  REDUCER_FAILED: 422,
  REPLAY_REFUSED: 422,
  SETTINGS_INVALID: 422,
  REQUEST_LIMIT: 429,
  // The servers behind this one.
  KAFKA_UNREACHABLE: 503,
  POSTGRES_UNREACHABLE: 503,
  POSTGRES_BUSY: 503,
  REDIS_UNREACHABLE: 503,
  REDIS_BUSY: 503,
  REQUEST_TIMEOUT: 504,
  POSTGRES_FULL: 507,
  REDIS_FULL: 507,
  DISK_FULL: 507,
}

/** A request that is refused with another status than its code has, or with words on each of its parts. */
export class RequestError extends FatalError {
  readonly status: number | undefined
  readonly errors: Problem['errors']
  readonly headers: Readonly<Record<string, string>>
  constructor(
    code: Code,
    message: string,
    remedy: string,
    more: { status?: number; errors?: Problem['errors']; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(code, message, remedy)
    this.status = more.status
    this.errors = more.errors
    this.headers = more.headers ?? {}
  }
}

const retryAfterSeconds = 2

/** Null: it is none of ours. Whoever asks is told no more than that; the log knows the rest. */
export function problemOf(error: unknown): { problem: Problem; headers: Readonly<Record<string, string>> } | null {
  if (!(error instanceof FatalError || error instanceof TransientError || error instanceof LostError)) return null
  const own = error instanceof RequestError ? error : undefined
  const status = own?.status ?? statuses[error.code] ?? (error instanceof TransientError ? 503 : 500)
  const problem: Problem = {
    type: `urn:millrace:${error.code}`,
    title: codes[error.code],
    status,
    detail: error.message,
    code: error.code,
    ...(error instanceof FatalError && { remedy: error.remedy }),
    ...(own?.errors !== undefined && { errors: own.errors }),
  }
  const waits = status === 429 || status === 503 ? { 'retry-after': String(retryAfterSeconds) } : {}
  return { problem, headers: { ...waits, ...own?.headers } }
}

export const ownFault: Problem = {
  type: 'urn:millrace:BUG',
  title: codes.BUG,
  status: 500,
  detail: 'The server failed at this request; its log says more.',
  code: 'BUG',
}
