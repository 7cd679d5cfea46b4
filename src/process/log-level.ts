/**
 * How much is logged, changed while the process runs: `PUT /log-level` with a level as its body, and `?for=10m` where it shall fall back by itself. Each
 * change is a line of the log, whatever the level, and says who asked and until when.
 */
import type { Logger } from 'pino'
import type { Sleep } from '../core/backoff.ts'
import { formatDuration, parseDuration } from '../core/duration.ts'
import { FatalError } from '../core/errors.ts'
import { rows } from '../core/settings-table.ts'
import { type Answer, type Asked, json } from './serve-answers.ts'

export interface LogLevel {
  get(): Answer
  put(asked: Asked): Answer
}

/** A timer of Node takes no more than 24 days. */
const longestMs = 7 * 86_400_000

export function openLogLevel(
  logger: Logger,
  clock: { readonly nowMs: () => number; readonly sleep: Sleep; readonly signal: AbortSignal },
): LogLevel {
  const usual = logger.level
  /** When it falls back, and what keeps it from that. */
  let temporary: { readonly untilMs: number; readonly keep: AbortController } | null = null

  const state = () => ({
    level: logger.level,
    usual,
    until: temporary === null ? null : new Date(temporary.untilMs).toISOString(),
  })

  function change(to: string, by: string, forMs: number | null): void {
    const from = logger.level
    // Somebody reads the log from here on, at whichever level: this line is in it.
    logger.level = 'info'
    logger.info({ from, to, by, ...(forMs !== null && { for: formatDuration(forMs) }) }, 'the log level was changed')
    logger.level = to
  }

  function put({ body, query, by }: Asked): Answer {
    const level = rows.logLevel.kind.schema.safeParse(body.trim())
    if (!level.success) {
      const given = body.trim().slice(0, 40)
      return json(400, { error: `the level reads '${given}'; allowed: ${rows.logLevel.kind.allowed}` })
    }
    let forMs: number | null = null
    try {
      const given = query.get('for')
      if (given !== null) forMs = parseDuration(given, "'for'")
    } catch (error) {
      if (!(error instanceof FatalError)) throw error
      return json(400, { error: `${error.message} ${error.remedy}` })
    }
    if (forMs !== null && (forMs < 1000 || forMs > longestMs))
      return json(400, { error: `'for' reads '${query.get('for')}'; allowed: from 1s to 7d` })

    temporary?.keep.abort()
    temporary = null
    change(level.data, by, forMs)
    if (forMs !== null) {
      const mine = { untilMs: clock.nowMs() + forMs, keep: new AbortController() }
      temporary = mine
      clock.sleep(forMs, AbortSignal.any([mine.keep.signal, clock.signal])).then(
        () => {
          temporary = null
          change(usual, 'its time is over', null)
        },
        () => {},
      )
    }
    return json(200, state())
  }

  return { get: () => json(200, state()), put }
}
