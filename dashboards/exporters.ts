/**
 * The metrics of other people's exporters that rules and dashboards may name, with the labels they may be asked by. Short on purpose: a name that is
 * not here or in src/core/metrics.ts is a mistake. `npm start -- --observe` runs those of `local` beside the fleet.
 */

export interface Exporter {
  readonly local: boolean
  readonly metrics: Readonly<Record<string, readonly string[]>>
}

export const exporters: Readonly<Record<string, Exporter>> = {
  prometheus: { local: true, metrics: { up: [], ALERTS: ['alertname', 'alertstate', 'severity', 'team'] } },
  // Every Node process that uses prom-client's default metrics.
  process: {
    local: true,
    metrics: { process_cpu_seconds_total: [], process_resident_memory_bytes: [], process_start_time_seconds: [] },
  },
  postgres: {
    local: true,
    metrics: {
      pg_up: [],
      pg_settings_max_connections: [],
      pg_stat_activity_count: ['datname', 'state'],
      pg_stat_activity_max_tx_duration: ['datname', 'state'],
      pg_stat_database_xact_commit: ['datname'],
      pg_stat_database_xact_rollback: ['datname'],
      pg_stat_database_blks_hit: ['datname'],
      pg_stat_database_blks_read: ['datname'],
      pg_stat_user_tables_n_dead_tup: ['datname', 'relname'],
      pg_locks_count: ['datname', 'mode'],
      pg_database_size_bytes: ['datname'],
      pg_replication_lag_seconds: [],
    },
  },
  redis: {
    local: true,
    metrics: {
      redis_up: [],
      redis_commands_total: ['cmd'],
      redis_commands_duration_seconds_total: ['cmd'],
      redis_connected_clients: [],
      redis_blocked_clients: [],
      redis_evicted_keys_total: [],
      redis_mem_fragmentation_ratio: [],
      redis_net_input_bytes_total: [],
      redis_net_output_bytes_total: [],
    },
  },
  node: {
    local: true,
    metrics: {
      node_cpu_seconds_total: ['mode'],
      node_memory_MemAvailable_bytes: [],
      node_filesystem_avail_bytes: ['mountpoint', 'fstype'],
      node_filesystem_size_bytes: ['mountpoint', 'fstype'],
    },
  },
  kafka: {
    local: false,
    metrics: {
      kafka_brokers: [],
      kafka_topic_partition_current_offset: ['topic', 'partition'],
      kafka_topic_partition_under_replicated_partition: ['topic', 'partition'],
      kafka_consumergroup_lag: ['consumergroup', 'topic', 'partition'],
    },
  },
  pgbouncer: {
    local: false,
    metrics: {
      pgbouncer_pools_client_active_connections: [],
      pgbouncer_pools_client_waiting_connections: [],
      pgbouncer_pools_client_maxwait_seconds: [],
    },
  },
  blackbox: { local: false, metrics: { probe_ssl_earliest_cert_expiry: [] } },
}
