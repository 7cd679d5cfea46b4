/**
 * The log: one line per event of the process, to stderr, so that stdout stays the answer of a command. JSON by default; lines for people on a
 * terminal. Every line says which consumer and replica speaks; secrets are blanked wherever they are found by name.
 */
import { Writable } from 'node:stream'
import { destination, type Logger, pino } from 'pino'
import type { Settings } from '../core/settings.ts'
import { saidBy, stackOf } from './cause.ts'

export interface LogOptions {
  readonly settings: Pick<Settings, 'logLevel' | 'logFormat'>
  readonly consumer?: string
  readonly replica?: string
  /** Whether stderr is a terminal. */
  readonly terminal?: boolean
  /** For tests; stderr otherwise. */
  readonly write?: (line: string) => void
}

const secretKeys = [
  'password',
  'kafkaPassword',
  'postgresPassword',
  'redisPassword',
  'postgresUrl',
  'redisUrls',
  'connectionString',
  'otlpHeaders',
  'gatewayToken',
  'sasl',
  'authorization',
]

export function createLogger({ settings, consumer, replica, terminal = false, write }: LogOptions): Logger {
  const pretty = settings.logFormat === 'pretty' || (settings.logFormat === 'auto' && terminal)
  const out = write ?? ((line: string) => void process.stderr.write(line))
  const stream = pretty
    ? through((line) => out(prettyLine(line)))
    : write === undefined
      ? destination({ dest: 2, sync: true })
      : through(out)
  return pino(
    {
      level: settings.logLevel,
      base: { ...(consumer !== undefined && { consumer }), ...(replica !== undefined && { replica }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: plainError },
      redact: { paths: secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '(hidden)' },
    },
    stream,
  )
}

/**
 * An error's own words and nothing that hangs on it: a driver's error carries the command it failed at, with the password of an AUTH or the events of a
 * batch among the arguments.
 */
function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: String(error) }
  const { code } = error as { code?: unknown }
  return { type: error.name, message: saidBy(error), ...(code !== undefined && { code }), stack: stackOf(error) }
}

/** Of a line about a traced batch. The field is called as OpenTelemetry calls it in logs, so that whoever reads both finds one by the other. */
export const inTrace = (traceId: string | undefined) => (traceId === undefined ? {} : { trace_id: traceId })

function through(write: (line: string) => void): Writable {
  return new Writable({
    write(chunk, _, done) {
      write(String(chunk))
      done()
    },
  })
}

/** `12:00:01.123 warn  [cloud-events/1] message key=value` */
export function prettyLine(json: string): string {
  const { level, time, msg, consumer, replica, err, ...fields } = JSON.parse(json) as Record<string, unknown> & {
    err?: { message?: string; stack?: string }
  }
  const who = [consumer, replica].filter((one) => one !== undefined).join('/')
  const rest = Object.entries(fields).map(
    ([key, value]) => ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const head = `${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${who === '' ? '' : `[${who}] `}${String(msg ?? err?.message ?? '')}${rest.join('')}\n`
  return err?.stack === undefined ? head : `${head}${err.stack}\n`
}
