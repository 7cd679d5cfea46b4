/**
 * What must hold between settings. Each row says which settings it is about and, in one sentence, why the relation matters; it is judged when all
 * of them parsed.
 */
import { parseHeaders } from './otlp.ts'
import { isUrl } from './settings-kinds.ts'
import type { SettingName, Settings } from './settings-table.ts'

interface Relation {
  readonly of: readonly SettingName[]
  readonly holds: (s: Settings) => boolean
  readonly say: string
}

const relation = (of: readonly SettingName[], say: string, holds: (s: Settings) => boolean): Relation => ({
  of,
  say,
  holds,
})

const both = (a: string, b: string) => (a === '') === (b === '')

export const relations: readonly Relation[] = [
  relation(
    ['batchBytesMax', 'inFlightBytesMax'],
    'batchBytesMax must not exceed inFlightBytesMax, or no batch could ever be full',
    (s) => s.batchBytesMax <= s.inFlightBytesMax,
  ),
  relation(
    ['fetchBytesMax', 'inFlightBytesMax'],
    'fetchBytesMax must not exceed inFlightBytesMax, or one answer would break the bound',
    (s) => s.fetchBytesMax <= s.inFlightBytesMax,
  ),
  relation(
    ['fetchPartitionBytesMax', 'fetchBytesMax'],
    'fetchPartitionBytesMax must not exceed fetchBytesMax',
    (s) => s.fetchPartitionBytesMax <= s.fetchBytesMax,
  ),
  relation(
    ['fetchWaitMs', 'kafkaRequestTimeoutMs'],
    'kafkaRequestTimeoutMs must be at least a second longer than fetchWaitMs, or idle fetches would count as failures',
    (s) => s.kafkaRequestTimeoutMs >= s.fetchWaitMs + 1000,
  ),
  relation(
    ['heartbeatMs', 'sessionTimeoutMs'],
    'heartbeatMs must be less than a third of sessionTimeoutMs, so that two lost heartbeats lose nothing',
    (s) => s.heartbeatMs < s.sessionTimeoutMs / 3,
  ),
  relation(
    ['fetchWaitMs', 'sessionTimeoutMs'],
    'fetchWaitMs must be less than a third of sessionTimeoutMs, or idle fetches would delay heartbeats',
    (s) => s.fetchWaitMs < s.sessionTimeoutMs / 3,
  ),
  relation(
    ['transactionTimeoutMs', 'rebalanceTimeoutMs'],
    'rebalanceTimeoutMs must be at least three times transactionTimeoutMs, so that a batch ends before its partition is given away',
    (s) => s.rebalanceTimeoutMs >= 3 * s.transactionTimeoutMs,
  ),
  relation(
    ['lockTimeoutMs', 'transactionTimeoutMs'],
    'lockTimeoutMs must be less than transactionTimeoutMs',
    (s) => s.lockTimeoutMs < s.transactionTimeoutMs,
  ),
  relation(
    ['drainMs', 'transactionTimeoutMs'],
    'drainMs must exceed transactionTimeoutMs, so that a transaction under way can end',
    (s) => s.drainMs > s.transactionTimeoutMs,
  ),
  relation(
    ['progressTimeoutMs', 'rebalanceTimeoutMs'],
    'progressTimeoutMs must exceed rebalanceTimeoutMs, or a slow rebalance would look like a hang',
    (s) => s.progressTimeoutMs > s.rebalanceTimeoutMs,
  ),
  relation(
    ['retryBackoffMinMs', 'retryBackoffMaxMs'],
    'retryBackoffMinMs must not exceed retryBackoffMaxMs',
    (s) => s.retryBackoffMinMs <= s.retryBackoffMaxMs,
  ),
  relation(
    ['retentionDays', 'eventPastDaysMax'],
    'retentionDays must exceed eventPastDaysMax (or be 0), or a late event would ask for a day that was taken away',
    (s) => s.retentionDays === 0 || s.retentionDays > s.eventPastDaysMax,
  ),
  relation(['kafkaCertFile', 'kafkaKeyFile'], 'kafkaCertFile and kafkaKeyFile go together', (s) =>
    both(s.kafkaCertFile, s.kafkaKeyFile),
  ),
  relation(
    ['kafkaTls', 'kafkaCaFile', 'kafkaCertFile'],
    'kafkaCaFile and kafkaCertFile have no effect unless kafkaTls is on',
    (s) => s.kafkaTls === 'on' || (s.kafkaCaFile === '' && s.kafkaCertFile === ''),
  ),
  relation(
    ['kafkaSaslMechanism', 'kafkaUser', 'kafkaPassword'],
    'kafkaSaslMechanism, kafkaUser and kafkaPassword go together',
    (s) =>
      s.kafkaSaslMechanism === 'none'
        ? s.kafkaUser === '' && s.kafkaPassword === ''
        : s.kafkaUser !== '' && s.kafkaPassword !== '',
  ),
  relation(['postgresCertFile', 'postgresKeyFile'], 'postgresCertFile and postgresKeyFile go together', (s) =>
    both(s.postgresCertFile, s.postgresKeyFile),
  ),
  relation(
    ['postgresTls', 'postgresCaFile', 'postgresCertFile'],
    'postgresCaFile and postgresCertFile have no effect while postgresTls is disable',
    (s) => s.postgresTls !== 'disable' || (s.postgresCaFile === '' && s.postgresCertFile === ''),
  ),
  relation(['redisCertFile', 'redisKeyFile'], 'redisCertFile and redisKeyFile go together', (s) =>
    both(s.redisCertFile, s.redisKeyFile),
  ),
  relation(
    ['redisUrls'],
    'the URLs of redisUrls must all be redis:// or all rediss://, or one unix://',
    (s) => new Set(s.redisUrls.map((url) => new URL(url).protocol)).size <= 1,
  ),
  relation(
    ['redisUrls', 'redisCaFile', 'redisCertFile', 'redisTlsName'],
    'redisCaFile, redisCertFile and redisTlsName have no effect without a rediss:// URL',
    (s) =>
      s.redisUrls.some((url) => url.startsWith('rediss:')) ||
      (s.redisCaFile === '' && s.redisCertFile === '' && s.redisTlsName === ''),
  ),
  relation(
    ['redisUrls', 'redisCluster'],
    'the nodes of a Redis Cluster are redis:// or rediss:// URLs, and have only database 0',
    (s) =>
      (s.redisCluster === 'off' && s.redisUrls.length < 2) ||
      s.redisUrls.every((url) => /^\/?0?$/.test(new URL(url).pathname)),
  ),
  relation(
    ['redisUser', 'redisPassword'],
    'redisUser needs redisPassword',
    (s) => s.redisUser === '' || s.redisPassword !== '',
  ),
  relation(
    ['gatewayToken'],
    'gatewayToken must have 16 characters or more, printable and without spaces, or it can be guessed',
    (s) => s.gatewayToken === '' || /^[\x21-\x7e]{16,512}$/.test(s.gatewayToken),
  ),
  relation(
    ['traces', 'otlpEndpoint'],
    'otlpEndpoint must be a URL like http://host:4318, of a receiver that takes OTLP over HTTP',
    (s) => s.traces === 'off' || isUrl(s.otlpEndpoint, ['http:', 'https:']),
  ),
  relation(
    ['traces', 'otlpHeaders'],
    'otlpHeaders must read like name=value,name=value, values percent-encoded',
    (s) => s.traces === 'off' || parseHeaders(s.otlpHeaders) !== null,
  ),
]
