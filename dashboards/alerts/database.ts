/** PostgreSQL, and the days that the keeper makes in it. */
import { type Alert, escalating } from './alert.ts'

export const database: readonly Alert[] = [
  {
    name: 'PostgresDown',
    severity: 'critical',
    team: 'database',
    for: '15s',
    expr: 'max by (consumer) (millrace_server_away{server="postgres"}) == 1 or pg_up == 0',
    summary: 'PostgreSQL does not answer',
    description: 'Nothing is stored. The fleet waits and goes on by itself; Kafka keeps the records meanwhile.',
  },
  ...escalating(
    {
      name: 'PostgresReplicationLag',
      team: 'database',
      summary: 'Standby {{ $labels.instance }} is {{ $value | humanizeDuration }} behind',
      description: 'What a failover to it would lose, or what readers there do not see yet.',
    },
    { for: '2m', expr: 'pg_replication_lag_seconds > 30' },
    { for: '5m', expr: 'pg_replication_lag_seconds > 300' },
  ),
  ...escalating(
    {
      name: 'PostgresLongTransaction',
      team: 'database',
      summary: 'A transaction in {{ $labels.datname }} has been open for {{ $value | humanizeDuration }}',
      description: 'It keeps dead rows from being cleaned, and ATTACH and DROP of days waiting.',
    },
    { for: '1m', expr: 'max by (instance, datname) (pg_stat_activity_max_tx_duration{state!="idle"}) > 300' },
    { for: '1m', expr: 'max by (instance, datname) (pg_stat_activity_max_tx_duration{state!="idle"}) > 3600' },
  ),
  ...escalating(
    {
      name: 'PartitionHorizon',
      team: 'database',
      summary: '{{ $labels.consumer }}: partitions are ready for {{ $value }} days only',
      description: 'The keeper makes them days ahead and has not been able to.',
    },
    { for: '10m', expr: 'min by (consumer) (millrace_partition_horizon_days) < 3' },
    {
      for: '1m',
      expr: 'min by (consumer) (millrace_partition_horizon_days) < 1',
      description:
        'There is none for tomorrow, or none for today: replicas are not ready, and days are made on demand.',
    },
  ),
]
