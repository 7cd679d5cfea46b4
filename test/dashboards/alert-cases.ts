/**
 * For every alert the situations in which it fires and those in which it must not, as promtool's series: one value each 15 s, `1x20` is twenty more of
 * the same, `0+5x20` grows. Keyed by name and severity; `at` is when it is looked.
 */

export interface Situation {
  readonly at: string
  readonly series: Readonly<Record<string, string>>
}
export interface Case {
  readonly fires: readonly Situation[]
  readonly quiet: readonly Situation[]
}

const when = (at: string, series: Record<string, string>): Situation => ({ at, series })
const c = 'consumer="c"'
const up = (replica: string) => `up{job="millrace",${c},instance="${replica}"}`
const records = (room: string) => `millrace_records_total{${c},instance="r1",room="${room}"}`
const lagSeconds = `millrace_lag_seconds{${c},instance="r1"}`
const lagRecords = `millrace_lag_records{${c},instance="r1"}`
const started = `process_start_time_seconds{job="millrace",${c},instance="r1"}`
const took = (le: string) => `millrace_produced_to_published_seconds_bucket{${c},instance="r1",le="${le}"}`
const room = (state: string) => `millrace_room_seconds_total{${c},instance="r1",room="persist",state="${state}"}`
const disk = (what: string) => `node_filesystem_${what}_bytes{instance="n1",mountpoint="/data",fstype="ext4"}`
const certificate = 'probe_ssl_earliest_cert_expiry{job="certificates",instance="kafka:9093"}'
const away = (server: string) => `millrace_server_away{${c},instance="r1",server="${server}"}`
const underReplicated = 'kafka_topic_partition_under_replicated_partition{topic="cloud-events",partition="3"}'
const headroom = `millrace_retention_headroom_seconds{${c},instance="r1"}`
const stopped = `millrace_partitions_stopped{${c},instance="r1",code="RETENTION_OVERTOOK"}`
const gaps = `millrace_gaps_total{${c},instance="r1"}`
const fenced = `millrace_fenced_total{${c},instance="r1"}`
const standby = 'pg_replication_lag_seconds{instance="standby"}'
const transaction = (state: string) =>
  `pg_stat_activity_max_tx_duration{instance="p1",datname="millrace",state="${state}"}`
const horizon = `millrace_partition_horizon_days{${c},instance="r1"}`
const unpublished = `millrace_unpublished_records{${c},instance="r1"}`
const redisUsed = `millrace_redis_memory_bytes{${c},instance="r1"}`
const redisMax = `millrace_redis_memory_max_bytes{${c},instance="r1"}`
const rejects = `millrace_rejects_total{${c},instance="r1",code="not_json"}`
const payments = (state: string) => `bss_payments_total{${c},instance="r1",state="${state}"}`

const days = (count: number) => `${count * 86_400}x80`

export const cases: Readonly<Record<string, Case>> = {
  'ReplicaDown warning': {
    fires: [when('2m', { [up('r1')]: '0x20', [up('r2')]: '1x20' })],
    quiet: [when('2m', { [up('r1')]: '1x20', [up('r2')]: '1x20' }), when('2m', { [up('r1')]: '1x6 0x0 1x13' })],
  },
  'ReplicaDown critical': {
    fires: [when('2m', { [up('r1')]: '0x20', [up('r2')]: '0x20' }), when('2m', { [lagSeconds]: '0x20' })],
    quiet: [when('2m', { [up('r1')]: '0x20', [up('r2')]: '1x20' })],
  },
  'ReplicaRestarts warning': {
    fires: [when('10m', { [started]: '1x10 2x10 3x10 4x10' })],
    quiet: [when('10m', { [started]: '1x10 2x40' })],
  },
  'NoProgress critical': {
    fires: [when('5m', { [lagRecords]: '100x40', [records('persist')]: '5x40' })],
    quiet: [
      when('5m', { [lagRecords]: '100x40', [records('persist')]: '0+10x40' }),
      when('5m', { [lagRecords]: '0x40', [records('persist')]: '5x40' }),
    ],
  },
  'LagSeconds warning': {
    fires: [when('12m', { [lagSeconds]: '10x60' })],
    quiet: [
      when('15m', { [lagSeconds]: '20x40 0x20' }),
      when('14m', { [lagSeconds]: '0x52 30x8' }),
      when('12m', { [lagSeconds]: '1x60' }),
    ],
  },
  'LagSeconds critical': {
    fires: [when('5m', { [lagSeconds]: '100x40' })],
    quiet: [when('5m', { [lagSeconds]: '30x40' }), when('6m', { [lagSeconds]: '200x20 0x10' })],
  },
  'LatencySla warning': {
    fires: [when('15m', { [took('0.05')]: '0+90x80', [took('0.1')]: '0+100x80', [took('+Inf')]: '0+100x80' })],
    quiet: [
      when('15m', { [took('0.05')]: '0+100x80', [took('0.1')]: '0+100x80', [took('+Inf')]: '0+100x80' }),
      when('15m', { [took('0.05')]: '9x80', [took('0.1')]: '10x80', [took('+Inf')]: '10x80' }),
    ],
  },
  'ThroughputSla critical': {
    fires: [when('5m', { [records('persist')]: '0+15000x40', [lagSeconds]: '10x40' })],
    quiet: [
      when('5m', { [records('persist')]: '0+15000x40', [lagSeconds]: '0x40' }),
      when('5m', { [records('persist')]: '0+120000x40', [lagSeconds]: '10x40' }),
    ],
  },
  'ApproachingCapacity warning': {
    fires: [when('20m', { [room('working')]: '0+13.5x100', [room('input')]: '0+1.5x100' })],
    quiet: [when('20m', { [room('working')]: '0+7.5x100', [room('input')]: '0+7.5x100' })],
  },
  'DiskRunningOut warning': {
    fires: [when('15m', { [disk('avail')]: '20-0.01x80', [disk('size')]: '100x80' })],
    quiet: [
      when('15m', { [disk('avail')]: '20x80', [disk('size')]: '100x80' }),
      when('15m', { [disk('avail')]: '80-0.1x80', [disk('size')]: '100x80' }),
    ],
  },
  'DiskRunningOut critical': {
    fires: [when('5m', { [disk('avail')]: '4x40', [disk('size')]: '100x40' })],
    quiet: [when('5m', { [disk('avail')]: '20x40', [disk('size')]: '100x40' })],
  },
  'CertificateExpiring warning': {
    fires: [when('15m', { [certificate]: days(10) })],
    quiet: [when('15m', { [certificate]: days(90) })],
  },
  'CertificateExpiring critical': {
    fires: [when('15m', { [certificate]: days(1) })],
    quiet: [when('15m', { [certificate]: days(10) })],
  },
  'KafkaBrokerDown critical': {
    fires: [
      when('8m', { kafka_brokers: '3x20 2x20' }),
      when('2m', { 'up{job="kafka"}': '0x20' }),
      when('2m', { [away('kafka')]: '1x20' }),
    ],
    quiet: [when('8m', { kafka_brokers: '3x40', 'up{job="kafka"}': '1x40', [away('kafka')]: '0x40' })],
  },
  'KafkaUnderReplicated warning': {
    fires: [when('5m', { [underReplicated]: '1x40' })],
    quiet: [when('5m', { [underReplicated]: '0x40' })],
  },
  'KafkaUnderReplicated critical': {
    fires: [when('35m', { [underReplicated]: '1x160' })],
    quiet: [when('10m', { [underReplicated]: '1x160' })],
  },
  'RetentionHeadroom warning': {
    fires: [when('4m', { [headroom]: '20000x20', [lagSeconds]: '600x20' })],
    quiet: [
      when('4m', { [headroom]: '3000x20', [lagSeconds]: '0x20' }),
      when('4m', { [headroom]: '90000x20', [lagSeconds]: '600x20' }),
    ],
  },
  'RetentionHeadroom critical': {
    fires: [when('4m', { [headroom]: '3000x20', [lagSeconds]: '600x20' })],
    quiet: [when('4m', { [headroom]: '20000x20', [lagSeconds]: '600x20' })],
  },
  'PartitionStopped critical': {
    fires: [when('2m', { [stopped]: '2x20' })],
    quiet: [when('2m', { [stopped]: '0x20' })],
  },
  'OffsetGap warning': {
    fires: [when('3m', { [gaps]: '0x4 1x20' })],
    quiet: [when('3m', { [gaps]: '7x20' })],
  },
  'Fenced warning': {
    fires: [when('3m', { [fenced]: '0x4 3x20' })],
    quiet: [when('3m', { [fenced]: '3x20' }), when('10m', { [fenced]: '0x4 3x80' })],
  },
  'Fenced critical': {
    fires: [when('15m', { [fenced]: '0+10x80' })],
    quiet: [when('15m', { [fenced]: '0x4 30x80' })],
  },
  'PostgresDown critical': {
    fires: [when('2m', { [away('postgres')]: '1x20' }), when('2m', { pg_up: '0x20' })],
    quiet: [when('2m', { [away('postgres')]: '0x20', pg_up: '1x20', [away('redis')]: '1x20' })],
  },
  'PostgresReplicationLag warning': {
    fires: [when('5m', { [standby]: '60x40' })],
    quiet: [when('5m', { [standby]: '1x40' })],
  },
  'PostgresReplicationLag critical': {
    fires: [when('8m', { [standby]: '600x40' })],
    quiet: [when('8m', { [standby]: '60x40' })],
  },
  'PostgresLongTransaction warning': {
    fires: [when('4m', { [transaction('idle in transaction')]: '400x20' })],
    quiet: [when('4m', { [transaction('idle')]: '4000x20', [transaction('active')]: '5x20' })],
  },
  'PostgresLongTransaction critical': {
    fires: [when('4m', { [transaction('active')]: '4000x20' })],
    quiet: [when('4m', { [transaction('active')]: '400x20' })],
  },
  'PartitionHorizon warning': {
    fires: [when('15m', { [horizon]: '2x80' })],
    quiet: [when('15m', { [horizon]: '7x80' })],
  },
  'PartitionHorizon critical': {
    fires: [when('3m', { [horizon]: '0x20' }), when('3m', { [horizon]: '-1x20' })],
    quiet: [when('3m', { [horizon]: '1x20' })],
  },
  'RedisDown critical': {
    fires: [when('2m', { [away('redis')]: '1x20' }), when('2m', { redis_up: '0x20' })],
    quiet: [when('2m', { [away('redis')]: '0x20', redis_up: '1x20', [away('postgres')]: '1x20' })],
  },
  'RedisBehindPostgres warning': {
    fires: [when('5m', { [unpublished]: '20000x80' })],
    quiet: [when('5m', { [unpublished]: '100x80' })],
  },
  'RedisBehindPostgres critical': {
    fires: [when('18m', { [unpublished]: '20000x80' })],
    quiet: [when('5m', { [unpublished]: '20000x80' })],
  },
  'RedisNearMaxmemory warning': {
    fires: [when('5m', { [redisUsed]: '85x40', [redisMax]: '100x40' })],
    quiet: [
      when('5m', { [redisUsed]: '50x40', [redisMax]: '100x40' }),
      when('5m', { [redisUsed]: '85x40', [redisMax]: '0x40' }),
    ],
  },
  'RedisNearMaxmemory critical': {
    fires: [when('5m', { [redisUsed]: '97x40', [redisMax]: '100x40' })],
    quiet: [when('5m', { [redisUsed]: '85x40', [redisMax]: '100x40' })],
  },
  'RejectsRatio warning': {
    fires: [when('5m', { [rejects]: '0+3x40', [records('persist')]: '0+100x40' })],
    quiet: [
      when('5m', { [rejects]: '0+0.1x40', [records('persist')]: '0+100x40' }),
      when('5m', { [records('persist')]: '0+100x40' }),
      when('5m', { [rejects]: '50x40', [records('persist')]: '100x40' }),
    ],
  },
  'RejectsRatio critical': {
    fires: [when('5m', { [rejects]: '0+8x40', [records('persist')]: '0+100x40' })],
    quiet: [when('5m', { [rejects]: '0+3x40', [records('persist')]: '0+100x40' })],
  },
  'HighPaymentFailureRate warning': {
    fires: [when('20m', { [payments('failed')]: '0+3x80', [payments('captured')]: '0+7x80' })],
    quiet: [
      when('20m', { [payments('failed')]: '0+1x80', [payments('captured')]: '0+9x80' }),
      when('20m', { [payments('failed')]: '0+0.3x80', [payments('captured')]: '0+0.7x80' }),
    ],
  },
  'HighPaymentFailureRate critical': {
    fires: [when('20m', { [payments('failed')]: '0+6x80', [payments('captured')]: '0+4x80' })],
    quiet: [when('20m', { [payments('failed')]: '0+3x80', [payments('captured')]: '0+7x80' })],
  },
  'LowEventThroughput warning': {
    fires: [when('95m', { [records('consume')]: '0+1500x320 480000+150x80' })],
    quiet: [
      when('95m', { [records('consume')]: '0+1500x400' }),
      when('95m', { [records('consume')]: '0+15x320 4800x80' }),
    ],
  },
  'LowEventThroughput critical': {
    fires: [when('95m', { [records('consume')]: '0+1500x320 480000x80' })],
    quiet: [when('95m', { [records('consume')]: '0+1500x320 480000+150x80' })],
  },
}
