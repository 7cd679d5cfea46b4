/**
 * `millrace serve`: replays, state at a time, offsets and debug sessions over HTTP, until a signal ends it. Then no request is taken any more, replays come to
 * a mark that they can be gone on from, and whoever starts next goes on with them.
 */
import { resolve } from 'node:path'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { explained } from '../replay/command.ts'
import type { ReplayClock } from '../replay/port.ts'
import { openReplays, type Replays } from '../replay/replays.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import { debugRoutes } from './debug-routes.ts'
import { openJobs } from './jobs.ts'
import { replayPage } from './page.ts'
import { postgresJobs } from './postgres-jobs.ts'
import { postgresKeys } from './postgres-keys.ts'
import { openPool } from './postgres-pool.ts'
import { replayRoutes } from './replay-routes.ts'
import { createServer } from './server.ts'
import { stateRoutes } from './state-routes.ts'

export interface ServeContext {
  readonly settings: Settings
  readonly loadConsumer: (name: string) => Promise<LoadedConsumer>
  readonly version: string
  /** user@host. */
  readonly actor: string
  readonly now: () => number
  readonly clock: ReplayClock
  /** `kind`: what the id begins with. */
  readonly newId: (kind: 'r' | 'd') => string
  readonly signal: AbortSignal
  /** Where names of directories are seen from. */
  readonly directory: string
  readonly write: (text: string) => void
  readonly log: {
    info(fields: object, text: string): void
    error(fields: object, text: string): void
  }
  readonly onServing?: (url: string) => void
}

const takeUpEveryMs = 5000

export async function serve(context: ServeContext): Promise<number> {
  const { settings, loadConsumer, version, actor, now, clock, newId, signal, write, log } = context
  const token = settings.gatewayToken
  if (token === '') {
    throw new FatalError(
      'SETTINGS_INVALID',
      'The server has no token.',
      'Set MILLRACE_GATEWAY_TOKEN, or MILLRACE_GATEWAY_TOKEN_FILE, to 16 characters or more that nobody can guess.',
    )
  }
  const directory = settings.gatewayDirectory === '' ? '' : resolve(context.directory, settings.gatewayDirectory)
  const stopped = new AbortController()
  const pool = openPool(settings)
  // Whoever holds a key waits for work that needs a connection too: of one pool they would wait for each other.
  const keysPool = openPool(settings)
  try {
    requireSchema(await pool.with((session) => schemaState(session)))
    const replays = inWords(openReplays({ settings, loadConsumer, actor, now, clock, stdout: null }), settings)
    const jobs = openJobs({
      replays,
      store: postgresJobs(pool),
      replaysMax: settings.gatewayReplaysMax,
      onFault: (err, id) => log.error({ err, replay: id }, 'a replay failed'),
    })
    const app = createServer({
      routes: [
        ...replayRoutes({ jobs, replays, directory, newId: () => newId('r'), sleep: clock.sleep }),
        ...stateRoutes({ settings, loadConsumer, actor, now }),
        ...debugRoutes({ settings, loadConsumer, pool, newId: () => newId('d'), now }),
      ],
      token,
      version,
      bodyBytesMax: settings.gatewayBodyBytesMax,
      timeoutMs: settings.gatewayTimeoutMs,
      keys: postgresKeys(keysPool),
      pages: { '/': replayPage() },
      stopped: stopped.signal,
      onFault: (err, what) => log.error({ err, ...what }, 'a request failed'),
    })
    try {
      const url = await app
        .listen({ host: settings.gatewayHost, port: settings.gatewayPort })
        .catch((error: NodeJS.ErrnoException) => {
          throw cannotListen(error, settings)
        })
      write(`Serving on ${url}\n`)
      log.info({ url }, 'serving')
      context.onServing?.(url)
      while (!signal.aborted) {
        // The database may be away: what waits goes on waiting.
        await jobs.takeUp(signal).catch((err: unknown) => log.error({ err }, 'cannot look for replays that wait'))
        await clock.sleep(takeUpEveryMs, signal).catch(() => {})
      }
    } finally {
      // Requests first: none of them begins a replay that nobody would stop.
      stopped.abort(new Error('the server stops'))
      await app.close()
      await jobs.stop()
    }
    return 0
  } finally {
    await Promise.all([pool.close(), keysPool.close()])
  }
}

/** Whatever a server behind it says comes with a code. */
function inWords(replays: Replays, settings: Settings): Replays {
  const told =
    <A extends unknown[], R>(call: (...given: A) => Promise<R>) =>
    (...given: A) =>
      call(...given).catch((error: unknown): never => {
        throw explained(error, settings)
      })
  return {
    begin: told(replays.begin),
    resume: told(replays.resume),
    discard: told(replays.discard),
    list: told(replays.list),
    estimate: told(replays.estimate),
    warnings: told(replays.warnings),
  }
}

function cannotListen(error: NodeJS.ErrnoException, { gatewayHost: host, gatewayPort: port }: Settings): FatalError {
  const what = `The server's port ${host}:${port} cannot be opened (${error.code}).`
  return error.code === 'EADDRINUSE' || error.code === 'EACCES'
    ? new FatalError('PORT_BUSY', what, 'Set MILLRACE_GATEWAY_PORT to a free port, or to 0 for any.', error)
    : new FatalError('SETTINGS_INVALID', what, 'Set MILLRACE_GATEWAY_HOST to an address of this machine.', error)
}
