import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger } from '../../src/process/log.ts'

function log(logFormat: 'json' | 'pretty') {
  const lines: string[] = []
  const settings = { logLevel: 'info', logFormat } as const
  const logger = createLogger({ settings, consumer: 'cloud-events', replica: '1', write: (line) => lines.push(line) })
  return { logger, lines }
}

test('JSON lines say who speaks and when, below the level nothing is said', () => {
  const { logger, lines } = log('json')
  logger.debug('unheard')
  logger.info({ rows: 3 }, 'copied')
  assert.equal(lines.length, 1)
  const { time, ...line } = JSON.parse(lines[0]!)
  assert.deepEqual(line, { level: 'info', consumer: 'cloud-events', replica: '1', rows: 3, msg: 'copied' })
  assert(!Number.isNaN(Date.parse(time)))
})

test('secrets are blanked by name, three levels deep', () => {
  for (const format of ['json', 'pretty'] as const) {
    const { logger, lines } = log(format)
    logger.info(
      { password: 's3cret', settings: { kafkaPassword: 's3cret', deep: { postgresUrl: 'postgres://u:s3cret@h' } } },
      'x',
    )
    logger.warn({ sasl: { username: 'u', password: 's3cret' } }, 'y')
    assert.doesNotMatch(lines.join(''), /s3cret/)
    assert.match(lines.join(''), /\(hidden\)/)
  }
})

test('pretty lines are for people, errors with their stack', () => {
  const { logger, lines } = log('pretty')
  logger.warn({ code: 'REDIS_BUSY', lane: 1 }, 'trying again')
  assert.match(lines[0]!, /^\d\d:\d\d:\d\d\.\d{3} warn {2}\[cloud-events\/1\] trying again code=REDIS_BUSY lane=1\n$/)
  logger.error({ err: new Error('broken') }, 'stopped')
  assert.match(lines[1]!, /stopped\nError: broken\n +at /)
})
