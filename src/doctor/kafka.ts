/** The doctor on Kafka: reachable, speaking our versions, the topic fit for its task, the group open to us. */
import type { Admin, ITopicMetadata } from 'kafkajs'
import { dayMs } from '../core/day.ts'
import type { Settings } from '../core/settings.ts'
import { kafkaFailure, openKafka } from '../process/connect-kafka.ts'
import { lackingKafka } from '../process/rights-kafka.ts'
import type { Chart } from './finding.ts'
import { isKafka4, kafkaApis, withoutCommonVersion } from './kafka-apis.ts'

export interface KafkaFacts {
  /** Partition to the first offset still held and one past the last; null when the topic could not be read. */
  readonly offsets: ReadonlyMap<number, { readonly low: number; readonly high: number }> | null
}

const mib = (bytes: number) => `${(bytes / 1024 ** 2).toFixed(1)} MiB`
const topicResource = 2

export async function checkKafka(
  chart: Chart,
  settings: Settings,
  topic: string,
  group: string,
  signal: AbortSignal,
): Promise<KafkaFacts> {
  const admin = openKafka(settings).admin()
  const stop = () => void admin.disconnect().catch(() => {})
  signal.addEventListener('abort', stop, { once: true })
  try {
    await admin.connect()
    const { brokers } = await admin.describeCluster()
    chart.ok(
      `${brokers.length} broker${brokers.length === 1 ? '' : 's'}: ${brokers.map(({ host, port }) => `${host}:${port}`).join(', ')}`,
    )
    await checkVersions(chart, settings, signal)
    const metadata = await findTopic(chart, admin, topic)
    if (metadata === null) return { offsets: null }
    checkPartitions(chart, metadata, brokers.length)
    await checkTopicConfig(chart, admin, settings, metadata)
    const lacking = await lackingKafka(settings, topic, group)
    const remedy = 'Grant it: docs/security.md has the commands.'
    const denied = `KAFKA_DENIED: the user lacks ${lacking.join(', ')}`
    if (chart.check(lacking.length === 0, 'the user may read the topic and join the group', denied, remedy)) {
      await checkGroup(chart, admin, group)
    }
    const offsets = await admin.fetchTopicOffsets(topic)
    return { offsets: new Map(offsets.map((one) => [one.partition, { low: Number(one.low), high: Number(one.high) }])) }
  } catch (error) {
    const failure = kafkaFailure(error, settings)
    chart.fail(`${failure.code}: ${failure.message}`, failure.remedy)
    return { offsets: null }
  } finally {
    signal.removeEventListener('abort', stop)
    await admin.disconnect().catch(() => {})
  }
}

async function checkVersions(chart: Chart, settings: Settings, signal: AbortSignal): Promise<void> {
  const apis = await kafkaApis(settings, settings.kafkaBrokers[0] as string, signal)
  const lacking = withoutCommonVersion(apis)
  if (lacking.length > 0) {
    chart.fail(`KAFKA_VERSION: no common version of ${lacking.join(', ')} with this broker`, 'Use Apache Kafka 4.x.')
    return
  }
  const fetch = apis.get(1)
  const versions = `requests have versions in common (Fetch ${Math.min(11, fetch?.max ?? 0)} of ${fetch?.min}-${fetch?.max})`
  chart.check(
    isKafka4(apis),
    `Kafka 4; all ${versions}`,
    `older than Kafka 4, though all ${versions}`,
    'Kafka 4.x is what this is tested with.',
    'warn',
  )
}

async function findTopic(chart: Chart, admin: Admin, topic: string): Promise<ITopicMetadata | null> {
  const topics = await admin.listTopics()
  if (!topics.includes(topic)) {
    chart.fail(
      `TOPIC_MISSING: there is no topic ${topic}, or the user may not see it`,
      'Create it with its final number of partitions, or grant Describe on it.',
    )
    return null
  }
  const { topics: found } = await admin.fetchTopicMetadata({ topics: [topic] })
  return found[0] ?? null
}

function checkPartitions(chart: Chart, { name, partitions }: ITopicMetadata, brokers: number): void {
  const replicas = Math.min(...partitions.map((one) => one.replicas.length))
  chart.ok(`topic ${name}: ${partitions.length} partitions, ${replicas} ${replicas === 1 ? 'copy' : 'copies'} of each`)
  const leaderless = partitions.filter((one) => one.leader < 0)
  if (leaderless.length > 0) {
    chart.fail(
      `${leaderless.length} partitions have no leader (${leaderless[0]?.partitionId}, ...)`,
      'Bring the brokers back that hold them.',
    )
  }
  const behind = partitions.filter((one) => one.isr.length < one.replicas.length)
  if (behind.length > 0)
    chart.warn(`${behind.length} partitions have copies that are behind`, 'See which broker is down or slow.')
  if (replicas === 1) {
    const remedy =
      brokers === 1
        ? 'Fine for one machine; for the real thing use three brokers and three copies.'
        : 'Raise the replication factor to 3.'
    chart.warn('a lost broker loses records: there is one copy', remedy)
  }
}

async function checkTopicConfig(
  chart: Chart,
  admin: Admin,
  settings: Settings,
  { name, partitions }: ITopicMetadata,
): Promise<void> {
  const names = [
    'retention.ms',
    'cleanup.policy',
    'max.message.bytes',
    'min.insync.replicas',
    'unclean.leader.election.enable',
    'compression.type',
  ]
  const asked = { includeSynonyms: false, resources: [{ type: topicResource, name, configNames: names }] }
  const answer = await admin.describeConfigs(asked).catch((error: unknown) => {
    if (kafkaFailure(error, settings).code !== 'KAFKA_DENIED') throw error
    return null
  })
  const config = new Map(answer?.resources[0]?.configEntries.map((entry) => [entry.configName, entry.configValue]))
  const number = (key: string) => Number(config.get(key) ?? Number.NaN)
  if (config.size === 0) {
    chart.warn(
      "the topic's configuration may not be read",
      'Grant DescribeConfigs on it to have retention and sizes checked; the fleet itself does without.',
    )
    return
  }
  const retentionMs = number('retention.ms')
  const kept = retentionMs < 0 ? 'for ever' : `for ${(retentionMs / dayMs).toFixed(1)} days`
  chart.check(
    retentionMs < 0 || retentionMs >= dayMs,
    `records are kept ${kept}`,
    `records are kept ${kept} only`,
    'Raise retention.ms: an outage longer than that loses records for good.',
    'warn',
  )
  const policy = config.get('cleanup.policy') ?? 'delete'
  if (policy.includes('compact'))
    chart.warn(
      'the topic is compacted: records with the same key may vanish before they are stored',
      'Set cleanup.policy=delete.',
    )
  const copies = Math.min(...partitions.map((one) => one.replicas.length))
  const insync = number('min.insync.replicas')
  if (copies > 1 && insync === 1)
    chart.warn('min.insync.replicas is 1: an acknowledged record may be in one place only', 'Set it to 2.')
  if (copies > 1 && insync >= copies)
    chart.warn(
      `min.insync.replicas is ${insync} of ${copies} copies: any broker down stops producers`,
      `Set it to ${copies - 1}.`,
    )
  if (config.get('unclean.leader.election.enable') === 'true') {
    chart.warn(
      'unclean.leader.election.enable is on: a failover may cut off records that were stored already',
      'Set it to false.',
    )
  }
  const messageBytes = number('max.message.bytes')
  chart.check(
    messageBytes <= settings.inFlightBytesMax,
    `messages up to ${mib(messageBytes)}, in flight up to ${mib(settings.inFlightBytesMax)}`,
    `messages may have ${mib(messageBytes)}, more than inFlightBytesMax (${mib(settings.inFlightBytesMax)})`,
    'Raise MILLRACE_IN_FLIGHT_BYTES_MAX or lower max.message.bytes.',
  )
  chart.ok(`compression.type ${config.get('compression.type') ?? 'unknown'}: all five codecs are read`)
}

async function checkGroup(chart: Chart, admin: Admin, group: string): Promise<void> {
  const { groups } = await admin.describeGroups([group])
  const found = groups[0]
  const other = found?.protocolType ?? ''
  if (other !== '' && other !== 'consumer') {
    chart.fail(
      `group ${group} is used by something that is no consumer (${other})`,
      'Choose another name with MILLRACE_GROUP.',
    )
    return
  }
  const count = found?.members.length ?? 0
  chart.ok(
    `group ${group}: ${count === 0 ? 'nobody in it now' : `${count} member${count === 1 ? '' : 's'} (${found?.state})`}`,
  )
}
