/** What an error of Redis means for us. One row each, with the reason; what is not in the table is fatal. */
import { type Code, FatalError, LostError, Reaction, TransientError } from '../../core/errors.ts'

type Row = readonly [begins: RegExp, reaction: 'transient' | 'lost' | 'fatal', code: Code, remedy: string]

const rows: readonly Row[] = [
  // our own function: the stream holds less than was published
  [/^MILLRACELOST/, 'lost', 'STREAM_LOST', ''],
  // maxmemory under noeviction: refused whole, nothing was written; readers or an operator make room
  [/^OOM/, 'transient', 'REDIS_FULL', ''],
  // loading its dataset after a restart
  [/^LOADING/, 'transient', 'REDIS_BUSY', ''],
  // somebody's script runs too long
  [/^BUSY/, 'transient', 'REDIS_BUSY', ''],
  // a failover: this node is a replica now, the client connects anew, to wherever the address leads by then
  [/^READONLY/, 'transient', 'REDIS_BUSY', ''],
  [/^MASTERDOWN/, 'transient', 'REDIS_BUSY', ''],
  // too few replicas for min-replicas-to-write
  [/^NOREPLICAS/, 'transient', 'REDIS_BUSY', ''],
  // the disk behind the AOF or RDB refuses
  [/^MISCONF/, 'transient', 'REDIS_BUSY', ''],
  // a cluster without all slots, or in the middle of moving one
  [/^CLUSTERDOWN/, 'transient', 'REDIS_BUSY', ''],
  [/^TRYAGAIN/, 'transient', 'REDIS_BUSY', ''],
  [/^(MOVED|ASK) /, 'transient', 'REDIS_BUSY', ''],
  // loaded, and gone again: somebody flushed it meanwhile, or a slot went to a node that the client did not know yet
  [/function not found/i, 'transient', 'REDIS_BUSY', ''],
  // connections refused for their number
  [/max number of clients/, 'transient', 'REDIS_BUSY', ''],
  [/^(NOAUTH|WRONGPASS)/, 'fatal', 'REDIS_AUTH', 'Check the user and password in MILLRACE_REDIS.'],
  [/^NOPERM/, 'fatal', 'REDIS_DENIED', 'Set the rights of the user: docs/security.md has the line.'],
  // a key of that name is no stream
  [
    /WRONGTYPE/,
    'fatal',
    'REDIS_FAILED',
    'Something else lives under a stream key: rename it, or choose another family in the consumer file.',
  ],
]

/** Errors of the connection itself: ioredis and Node have many words for them. */
const connection =
  /connection is closed|closed the connection|stream isn't writeable|command timed out|connect E|ECONN|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|max retries per request|socket closed|Failed to refresh slots|None of startup nodes|Too many Cluster redirections|Cluster isn't ready/i

export function classifyRedis(error: unknown): Error {
  if (error instanceof Reaction) return error
  if (!(error instanceof Error)) return new Error(String(error))
  for (const [begins, reaction, code, remedy] of rows) {
    if (!begins.test(error.message)) continue
    if (reaction === 'transient') return new TransientError(code, error.message, error)
    if (reaction === 'lost') return new LostError(code, error.message, error)
    return new FatalError(code, `${error.message}.`, remedy, error)
  }
  const text = `${error.name} ${error.message} ${(error as { code?: string }).code ?? ''}`
  if (connection.test(text)) return new TransientError('REDIS_UNREACHABLE', error.message, error)
  return new FatalError(
    'REDIS_FAILED',
    `Redis answered: ${error.message}.`,
    'Look it up; the entries at hand were not confirmed.',
    error,
  )
}

/** The server has no such function: a new node, a flushed one, or the first start. */
export const lacksFunction = (error: unknown) => error instanceof Error && /function not found/i.test(error.message)
