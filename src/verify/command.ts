/**
 * `millrace verify`: the proof against the deployment that the settings name. Prints a table and a verdict, or one JSON value; ends with
 * VERIFY_FAILED when the proof does not hold.
 */
import pg from 'pg'
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { isTopicMissing, kafkaConfig, kafkaFailure } from '../process/connect-kafka.ts'
import { connectPostgres, postgresFailure } from '../process/connect-postgres.ts'
import { connectRedis, redisFailure } from '../process/connect-redis.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import { renderVerify, verdict } from './print.ts'
import { type Progress, type VerifyResult, verify } from './verify.ts'

export interface VerifyDeploymentOptions {
  readonly settings: Settings
  readonly consumer: LoadedConsumer
  readonly toEnd?: boolean
  /** How many problems of each kind are told in full. */
  readonly examplesMax?: number
  readonly signal: AbortSignal
  readonly now: () => number
  readonly onProgress?: (progress: Progress) => void
}

/** Opens what it needs, proves, and closes it; every failure to reach a server is a FatalError. */
export async function verifyDeployment(options: VerifyDeploymentOptions): Promise<VerifyResult> {
  const { settings, consumer } = options
  const { definition } = consumer
  await using stack = new AsyncDisposableStack()
  const client = await connectPostgres(settings, `millrace ${consumer.name} verify`)
  stack.defer(() => client.end().catch(() => {}))
  requireSchema(await schemaState(client))
  const publishes = definition.route !== undefined && settings.redisUrls.length > 0
  const redis = publishes ? await connectRedis(settings, { name: `millrace-${consumer.name}-verify` }) : null
  if (redis !== null) stack.defer(() => redis.disconnect())
  try {
    return await verify({
      ...options,
      consumer: consumer.name,
      group: settings.group || consumer.name,
      definition,
      kafka: kafkaConfig(settings),
      client,
      redis,
    })
  } catch (error) {
    throw explained(error, settings, definition.topic)
  }
}

function explained(error: unknown, settings: Settings, topic: string): unknown {
  if (error instanceof FatalError || !(error instanceof Error)) return error
  if (isTopicMissing(error)) {
    return new FatalError('TOPIC_MISSING', `The topic '${topic}' does not exist.`, 'Check MILLRACE_KAFKA.', error)
  }
  if (error.name.startsWith('KafkaJS')) return kafkaFailure(error, settings)
  if (error instanceof pg.DatabaseError) return postgresFailure(error, settings)
  if (error.name === 'ReplyError' || error.name === 'MaxRetriesPerRequestError') return redisFailure(error, settings)
  return error
}

export interface VerifyCommandOptions extends Omit<VerifyDeploymentOptions, 'onProgress'> {
  readonly json: boolean
}

export interface VerifyIo {
  /** The answer. */
  readonly write: (text: string) => void
  readonly writeError: (text: string) => void
  /** Whether writeError reaches a terminal, which can show progress. */
  readonly terminal: boolean
}

export async function verifyCommand(options: VerifyCommandOptions, io: VerifyIo): Promise<void> {
  const { settings, consumer, json } = options
  const result = await verifyDeployment({
    ...options,
    ...(io.terminal && { onProgress: (progress: Progress) => io.writeError(`\r\x1b[2K${progressLine(progress)}`) }),
  })
  if (io.terminal) io.writeError('\r\x1b[2K')
  const streams = consumer.definition.route !== undefined && settings.redisUrls.length > 0
  if (json) io.write(`${JSON.stringify(result)}\n`)
  else io.write(renderVerify(result, streams))
  if (result.holds) return
  throw new FatalError(
    'VERIFY_FAILED',
    `The proof does not hold: ${verdict(result)}.`,
    'Look the coordinates up in the tables, the streams and the topic.',
  )
}

export function progressLine({ checked, total }: Progress): string {
  const share = total === 0 ? 100 : Math.floor((checked * 100) / total)
  return `verifying: ${count(checked)} of ${count(total)} records (${share} %)`
}
