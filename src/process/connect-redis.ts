/**
 * A Redis or Redis Cluster client from settings, connected or failed with a reason; and what a failed first connection means.
 *
 * After the first connection the client reconnects for ever, but it keeps nothing back: a command that meets a closed or silent connection fails
 * at once or after redisTimeoutMs, and the room that sent it decides. Queues inside the client would hide an outage from back-pressure, and its own
 * re-sending would run beside ours (a repeat adds nothing either way: the stream's last id sees to that).
 */
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { type Code, FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { hidePassword } from '../core/settings-kinds.ts'
import { isUnreachable, saidBy } from './cause.ts'
import { pems, readPem } from './read-pem.ts'

export type RedisClient = Redis | Cluster
/** Replies in the shapes of RESP2, whatever is spoken: part of the client's type. */
export type NodeOptions = RedisOptions & { readonly replyMapping: 'legacy' }

export interface RedisConnectOptions {
  /** Shown by CLIENT LIST. */
  readonly name?: string
  /** Told of every connection error after the first connection; ioredis would print them to the console otherwise. */
  readonly onError?: (error: Error) => void
}

export const isCluster = (settings: Settings): boolean =>
  settings.redisCluster === 'on' || settings.redisUrls.length > 1

/** One node's options; of several URLs the first one's user, password and TLS hold for all. */
export function redisOptions(settings: Settings, name = 'millrace'): NodeOptions {
  const url = new URL(settings.redisUrls[0] ?? 'redis://127.0.0.1')
  const username = settings.redisUser || decodeURIComponent(url.username)
  const password = settings.redisPassword || decodeURIComponent(url.password)
  return {
    ...address(url),
    ...(username !== '' && { username }),
    ...(password !== '' && { password }),
    ...(url.protocol === 'rediss:' && {
      tls: {
        ...pems(
          readPem(settings, 'redisCaFile'),
          readPem(settings, 'redisCertFile'),
          readPem(settings, 'redisKeyFile'),
        ),
        ...(settings.redisTlsName !== '' && { servername: settings.redisTlsName }),
      },
    }),
    replyMapping: 'legacy',
    connectionName: name,
    connectTimeout: settings.connectTimeoutMs,
    commandTimeout: settings.redisTimeoutMs,
    // A connection that is silent for so long is dead: closing it fails every command under way and makes a new one.
    socketTimeout: settings.redisTimeoutMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    // 0: on a lost connection the commands under way fail at once, with the first reconnection attempt.
    maxRetriesPerRequest: 0,
    // Demoted, and the connection stays open: the address may lead to the new primary already, but only a new connection gets there.
    reconnectOnError: (error) => /^READONLY/.test(error.message),
    enableReadyCheck: true,
    maxLoadingRetryTime: settings.retryBackoffMaxMs,
  }
}

export async function connectRedis(settings: Settings, options: RedisConnectOptions = {}): Promise<RedisClient> {
  let started = false
  let lastError: Error | null = null
  const backoff = (times: number) =>
    started ? Math.min(settings.retryBackoffMinMs * 2 ** Math.min(times - 1, 16), settings.retryBackoffMaxMs) : null
  const single: NodeOptions = { ...redisOptions(settings, options.name), lazyConnect: true, retryStrategy: backoff }
  const client = isCluster(settings) ? openCluster(settings, single, backoff) : new Redis(single)
  client.on('error', (error: Error) => {
    if (started) options.onError?.(error)
    // The first error is the cause; what follows is that the connection was closed.
    else lastError ??= error
  })
  // A cluster whose first answer is no use (no slots, state fail) ends without settling its own promise.
  const ended = Promise.withResolvers<never>()
  const why =
    'Connection is closed: the cluster serves no slots, is not ready, or does not let the user ask (+cluster|info)'
  client.once('end', () => ended.reject(new Error(why)))
  ended.promise.catch(() => {})
  try {
    await Promise.race([client.connect(), ended.promise])
    started = true
    return client
  } catch (error) {
    client.disconnect()
    throw redisFailure(lastError ?? error, settings)
  }
}

function openCluster(settings: Settings, single: NodeOptions, backoff: (times: number) => number | null): Cluster {
  // The cluster decides about addresses, queues and reconnection; a node gets the rest.
  const { host: _, port: __, db: ___, retryStrategy: ____, enableOfflineQueue: _____, ...node } = single
  const cluster = new Cluster(
    settings.redisUrls.map((url) => hostAndPort(new URL(url))),
    {
      lazyConnect: true,
      enableOfflineQueue: false,
      enableReadyCheck: true,
      clusterRetryStrategy: backoff,
      slotsRefreshTimeout: settings.connectTimeoutMs,
      // Names stay names, so that TLS verifies what the certificate says and not the address behind it.
      ...(single.tls !== undefined && { dnsLookup: (name, answer) => answer(null, name) }),
      redisOptions: node,
    },
  )
  // ioredis sends ASKING before a command that a moving slot redirects, and forgets its promise: a node that dies just then would end the process.
  cluster.on('+node', (node: Redis) => {
    const asking = node.asking.bind(node)
    node.asking = () => {
      const asked = asking()
      asked.catch(() => {})
      return asked
    }
  })
  return cluster
}

function address(url: URL): Pick<RedisOptions, 'host' | 'port' | 'path' | 'db'> {
  if (url.protocol === 'unix:')
    return { path: decodeURIComponent(url.pathname), db: Number(url.searchParams.get('db') ?? 0) }
  return { ...hostAndPort(url), db: Number(url.pathname.slice(1) || 0) }
}

function hostAndPort(url: URL): { host: string; port: number } {
  return { host: url.hostname.replace(/^\[(.+)\]$/, '$1') || '127.0.0.1', port: Number(url.port || 6379) }
}

/** A failed first connection, by the word Redis begins its errors with, and by system error. */
export function redisFailure(error: unknown, settings: Settings): FatalError {
  const where = settings.redisUrls.map(hidePassword).join(', ')
  const root = (error as { lastNodeError?: Error })?.lastNodeError ?? error
  const { code = '' } = (root ?? {}) as { code?: string }
  const said = saidBy(root)
  const fail = (ours: Code, what: string, remedy: string) => new FatalError(ours, what, remedy, error)
  if (/^(WRONGPASS|NOAUTH|ERR AUTH|ERR invalid password)/.test(said)) {
    return fail(
      'REDIS_AUTH',
      `Redis refuses the login at ${where}: ${said}.`,
      'Check the user and password: MILLRACE_REDIS_USER, MILLRACE_REDIS_PASSWORD, or the URL.',
    )
  }
  if (/^(NOPERM)/.test(said)) {
    return fail(
      'REDIS_DENIED',
      `Redis denies the user what it needs: ${said}.`,
      'Set its rights: docs/security.md has the line.',
    )
  }
  if (/^(LOADING|BUSY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)/.test(said)) {
    return fail(
      'REDIS_BUSY',
      `Redis at ${where} is not ready: ${said}.`,
      'Wait until it has loaded its data or finished failing over.',
    )
  }
  if (/cluster support disabled/i.test(said)) {
    return fail(
      'SETTINGS_INVALID',
      `Redis at ${where} is not a cluster.`,
      'Set MILLRACE_REDIS_CLUSTER=off and give one URL.',
    )
  }
  if (/certificate|self.signed|altnames|SSL|TLS|wrong version number|EPROTO/i.test(said)) {
    return fail(
      'REDIS_AUTH',
      `The TLS handshake with Redis at ${where} failed: ${said}.`,
      'Check redis:// against rediss://, MILLRACE_REDIS_CA_FILE and MILLRACE_REDIS_TLS_NAME.',
    )
  }
  if (
    isUnreachable(code) ||
    /closed|timed out|timeout|ECONN|ENOTFOUND|refresh slots|None of startup nodes/i.test(said)
  ) {
    const plain = !settings.redisUrls.some((url) => url.startsWith('rediss:'))
    return fail(
      'REDIS_UNREACHABLE',
      `Redis does not answer at ${where}: ${said}.`,
      `Check MILLRACE_REDIS and that the server runs and listens there, ${plain ? 'without' : 'with'} TLS as the URL says.`,
    )
  }
  return fail('REDIS_FAILED', `Redis at ${where}: ${said}.`, 'See the server log.')
}
