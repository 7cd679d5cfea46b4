/**
 * The admin port: metrics for Prometheus, health for the supervisor, status for the live view, a page for people, and how much is logged, which is all
 * that can be changed here. Answers are computed when asked; nothing here can slow the flow down by more than one scrape.
 */
import type { Logger } from 'pino'
import type { Metrics } from '../core/registry.ts'
import type { Verdict } from './health.ts'
import type { LogLevel } from './log-level.ts'
import { type Answer, type Answers, json, serveAnswers } from './serve-answers.ts'

export interface AdminOptions {
  readonly host: string
  readonly port: number
  readonly metrics: Pick<Metrics, 'render' | 'contentType'>
  readonly live: () => Verdict
  readonly ready: () => Verdict
  /** Anything JSON can hold: the process status (core/status.ts). */
  readonly status: () => unknown
  /** What a browser may ask for (live/page.ts). */
  readonly page?: Readonly<Record<string, () => Answer>>
  readonly logLevel: LogLevel
  readonly logger: Logger
}

export type Admin = Answers

const health = (verdict: Verdict): Answer => json(verdict.ok ? 200 : 503, verdict)

export function startAdmin(options: AdminOptions): Promise<Admin> {
  const { host, port, metrics, logLevel, logger } = options
  return serveAnswers({
    host,
    port,
    name: 'The admin port',
    portSetting: 'MILLRACE_ADMIN_PORT',
    hostSetting: 'MILLRACE_ADMIN_HOST',
    routes: {
      '/metrics': async () => ({ code: 200, type: metrics.contentType, body: await metrics.render() }),
      '/healthz': () => health(options.live()),
      '/readyz': () => health(options.ready()),
      '/status.json': () => json(200, options.status()),
      '/log-level': () => logLevel.get(),
      ...options.page,
    },
    puts: { '/log-level': (asked) => logLevel.put(asked) },
    onError: (error, path) =>
      logger.error({ err: error, path }, path === undefined ? 'the admin port failed' : 'an admin request failed'),
  })
}
