/** What an error of PostgreSQL means for us. One row each, with the reason; what is not in the table is fatal. */
import { type Code, FatalError, LostError, Reaction, TransientError } from '../../core/errors.ts'

type Row = readonly [reaction: 'transient' | 'lost' | 'fatal', code: Code, remedy: string]

const rows: Readonly<Record<string, Row>> = {
  // raised by millrace_advance: another process has moved the partition on
  MR001: ['lost', 'FENCED', ''],
  // class 08, connection exceptions: the ledger tells whether a lost COMMIT took effect
  '08': ['transient', 'POSTGRES_UNREACHABLE', ''],
  // transaction_timeout: a stalled peer or disk; the connection is gone, the ledger decides
  '25P04': ['transient', 'POSTGRES_BUSY', ''],
  // idle_in_transaction_session_timeout: we were stopped in the middle
  '25P03': ['transient', 'POSTGRES_BUSY', ''],
  // a role or password that is wrong now was right at the start, or never: a person has to look
  '28': ['fatal', 'POSTGRES_AUTH', 'Check the user and password in MILLRACE_POSTGRES.'],
  '3D000': ['fatal', 'POSTGRES_DENIED', 'Create the database or correct its name in MILLRACE_POSTGRES.'],
  // serialization and deadlock: a zombie and its successor met in different order
  '40': ['transient', 'POSTGRES_BUSY', ''],
  // privileges
  '42501': [
    'fatal',
    'POSTGRES_DENIED',
    'Grant what migrations/roles.sql lists; `millrace doctor` names what is missing.',
  ],
  // tables or procedures are not there
  '42P01': ['fatal', 'SCHEMA_MISSING', 'Run `millrace migrate`.'],
  '42883': ['fatal', 'SCHEMA_MISSING', 'Run `millrace migrate`.'],
  '3F000': ['fatal', 'SCHEMA_MISSING', 'Create the schema in the search_path, then run `millrace migrate`.'],
  // the disk is full: an operator frees space, and the flow goes on by itself
  '53100': ['transient', 'POSTGRES_FULL', ''],
  // out of memory, too many connections, out of resources
  '53': ['transient', 'POSTGRES_BUSY', ''],
  // lock_timeout: somebody holds the partition, for instance a zombie until its transaction_timeout
  '55P03': ['transient', 'POSTGRES_BUSY', ''],
  // shutdown, crash, starting up, terminated by an operator, cancelled
  '57': ['transient', 'POSTGRES_BUSY', ''],
  // read-only: a failover is under way and this is the old primary or not yet the new one
  '25006': ['transient', 'POSTGRES_BUSY', ''],
  // I/O errors of the server's disk
  '58': ['transient', 'POSTGRES_BUSY', ''],
}

/** Node's own codes for a connection that is not there. */
const network = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENOENT',
])

export function sqlState(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : ''
}

export function classifyPostgres(error: unknown): Error {
  if (error instanceof Reaction) return error
  if (!(error instanceof Error)) return new Error(String(error))
  const state = sqlState(error)
  // pg has no code of its own for these
  const cut = /connection terminated|connection ended|not queryable|timeout expired/i.test(error.message)
  const row = rows[state] ?? rows[state.slice(0, 2)] ?? (network.has(state) || cut ? rows['08'] : undefined)
  if (row === undefined) {
    return new FatalError(
      'POSTGRES_FAILED',
      `PostgreSQL answered ${state || 'without a code'}: ${error.message}.`,
      'Look it up by its SQLSTATE; nothing was stored of the batch at hand.',
      error,
    )
  }
  const [reaction, code, remedy] = row
  if (reaction === 'transient') return new TransientError(code, error.message, error)
  if (reaction === 'lost') return new LostError(code, error.message, error)
  return new FatalError(code, `${error.message}.`, remedy, error)
}
