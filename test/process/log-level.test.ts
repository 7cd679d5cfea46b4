import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createLogger } from '../../src/process/log.ts'
import { openLogLevel } from '../../src/process/log-level.ts'

function open() {
  const lines: Record<string, unknown>[] = []
  const logger = createLogger({
    settings: { logLevel: 'warn', logFormat: 'json' },
    write: (line) => lines.push(JSON.parse(line)),
  })
  const sleeps: { ms: number; wake: () => void; signal: AbortSignal }[] = []
  const stop = new AbortController()
  const level = openLogLevel(logger, {
    nowMs: () => Date.UTC(2026, 10, 21),
    signal: stop.signal,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        sleeps.push({ ms, wake: resolve, signal })
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      }),
  })
  const put = (body: string, query = '') => {
    const { code, body: text } = level.put({ body, query: new URLSearchParams(query), by: '127.0.0.1:4242' })
    return { ...(JSON.parse(text) as { level?: string; usual?: string; until?: string | null; error?: string }), code }
  }
  const get = () => JSON.parse(level.get().body) as Record<string, unknown>
  return { lines, logger, sleeps, stop, put, get }
}

test('the level is told and changed, and a line says by whom, whatever the levels are', () => {
  const { lines, logger, put, get } = open()
  assert.deepEqual(get(), { level: 'warn', usual: 'warn', until: null })
  assert.deepEqual(put(' fatal\n'), { code: 200, level: 'fatal', usual: 'warn', until: null })
  assert.deepEqual(put('error').code, 200)
  assert.deepEqual(put('debug').code, 200)
  logger.debug('heard')
  assert.deepEqual(
    lines.map(({ level, from, to, by, msg }) => [level, from, to, by, msg]),
    [
      ['info', 'warn', 'fatal', '127.0.0.1:4242', 'the log level was changed'],
      ['info', 'fatal', 'error', '127.0.0.1:4242', 'the log level was changed'],
      ['info', 'error', 'debug', '127.0.0.1:4242', 'the log level was changed'],
      ['debug', undefined, undefined, undefined, 'heard'],
    ],
  )
})

test('for a while: it falls back to the usual level, unless somebody changes it before', async () => {
  const { lines, logger, sleeps, put, get } = open()
  assert.equal(put('debug', 'for=10m').until, '2026-11-21T00:10:00.000Z')
  assert.equal(sleeps[0]?.ms, 600_000)
  assert.equal(lines.at(-1)?.for, '10m')
  assert.equal(put('info', 'for=1h').until, '2026-11-21T01:00:00.000Z')
  assert.equal(sleeps[0]?.signal.aborted, true)
  sleeps[1]?.wake()
  await turn()
  assert.deepEqual(get(), { level: 'warn', usual: 'warn', until: null })
  assert.equal(logger.level, 'warn')
  assert.deepEqual([lines.at(-1)?.to, lines.at(-1)?.by], ['warn', 'its time is over'])

  put('debug', 'for=10m')
  assert.equal(put('error').until, null)
  await turn()
  assert.equal(logger.level, 'error')
})

test('what makes no sense is refused in words, and changes nothing', () => {
  const { lines, put, get } = open()
  assert.deepEqual(put('loud'), {
    code: 400,
    error: "the level reads 'loud'; allowed: fatal, error, warn, info, debug, trace",
  })
  for (const [body, query, why] of [
    ['', '', /the level reads ''/],
    ['silent', '', /allowed: fatal/],
    ['debug', 'for=10', /which has no unit/],
    ['debug', 'for=', /is not a duration/],
    ['debug', 'for=1ms', /from 1s to 7d/],
    ['debug', 'for=30d', /from 1s to 7d/],
  ] as const) {
    const { code, error } = put(body, query)
    assert.equal(code, 400)
    assert.match(error as string, why)
  }
  assert.deepEqual(get(), { level: 'warn', usual: 'warn', until: null })
  assert.deepEqual(lines, [])
})
