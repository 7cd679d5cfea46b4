/** Makes the source that a description and its plan name, of the technologies it takes. */
import type pg from 'pg'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { kafkaConfig } from '../process/connect-kafka.ts'
import { connectPostgres } from '../process/connect-postgres.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { openKafkaReader } from '../records/kafka-reader.ts'
import { openAutoSource } from './auto-source.ts'
import type { ReplayDescription } from './description.ts'
import type { Judge } from './judge.ts'
import { openKafkaSource } from './kafka-source.ts'
import type { ReplayPlan } from './plan.ts'
import { askInTurn, jsonpathJudge, unstoredJudge } from './postgres-judge.ts'
import { openPostgresSource } from './postgres-source.ts'
import type { ReplaySource } from './source.ts'

const dayMs = 86_400_000
const hourMs = 3_600_000

export const futureMsOf = (settings: Settings): number => settings.eventFutureHoursMax * hourMs

export async function openSource(
  settings: Settings,
  { definition }: LoadedConsumer,
  description: ReplayDescription,
  plan: ReplayPlan,
): Promise<ReplaySource> {
  const { topic, table, decoder } = definition
  const { source, select } = description
  const connect = () => connectPostgres(settings, 'millrace replay source')
  const postgres = openPostgresSource({ connect, description, table, topic, cuts: plan.cuts })
  if (source === 'postgres' || (source === 'auto' && plan.kafka.length === 0)) return postgres

  if (settings.kafkaBrokers.length === 0)
    throw new FatalError('SETTINGS_INVALID', 'There is no Kafka in the settings.', 'Set MILLRACE_KAFKA.')
  const judges: Judge[] = []
  const wantsJudge = select.jsonpath !== null || plan.cuts !== null
  const client: pg.Client | null = wantsJudge ? await connectPostgres(settings, 'millrace replay judge') : null
  if (client !== null) {
    const ask = askInTurn(client)
    if (select.jsonpath !== null) judges.push(jsonpathJudge(ask, select.jsonpath))
    if (plan.cuts !== null) judges.push(unstoredJudge(ask, table, topic, plan.cuts))
  }
  const kafka = openKafkaSource({
    openReader: (signal, bytes) => openKafkaReader(kafkaConfig(settings), topic, signal, bytes),
    decoder,
    description,
    ranges: plan.kafka,
    pastMs: settings.eventPastDaysMax * dayMs,
    futureMs: futureMsOf(settings),
    judges,
    once: source === 'auto',
  })
  const both = source === 'auto' ? openAutoSource(postgres, kafka) : kafka
  return {
    ...both,
    async close() {
      await both.close()
      await client?.end().catch(() => {})
    },
  }
}
