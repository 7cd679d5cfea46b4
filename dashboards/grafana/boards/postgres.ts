/** PostgreSQL from both sides: what the fleet does to it, and what its exporters and PgBouncer's tell. */
import { type Board, figure, lines, row } from '../board.ts'
import { max, min, of, quantiles, rate, sum } from '../queries.ts'

export const postgres: Board = {
  uid: 'millrace-postgres',
  title: 'Millrace: PostgreSQL',
  description: 'COPY, connections, locks, replication, days.',
  rows: [
    row(
      4,
      figure('PostgreSQL answers', 'none', [['min(pg_up)', 'up']]),
      figure('Rows a second', 'ops', [[sum(rate('millrace_rows_total')), 'rows']]),
      figure('Days ready', 'none', [[min(of('millrace_partition_horizon_days')), 'days']]),
      figure('Days to seal', 'none', [[max(of('millrace_partitions_to_seal')), 'days']]),
      figure(
        'Connections used',
        'percentunit',
        [['sum(pg_stat_activity_count) / max(pg_settings_max_connections)', 'share']],
        { limits: [0.7, 0.9] },
      ),
    ),
    row(
      8,
      lines(
        'COPY: rows/s while it runs',
        'ops',
        [[`${sum(rate('millrace_rows_total'))} / ${sum(rate('millrace_copy_seconds_total'))}`, 'rows/s']],
        { help: 'Rows by the seconds that COPY took, over all lanes: falls when PostgreSQL is the limit.' },
      ),
      lines('COPY: bytes/s', 'Bps', [
        [sum(rate('millrace_bytes_total', 'room="persist"'), 'instance'), '{{instance}}'],
      ]),
      lines('rows of a COPY', 'short', quantiles('millrace_batch_rows')),
    ),
    row(
      8,
      lines('transactions/s', 'ops', [
        ['sum by (datname) (rate(pg_stat_database_xact_commit[$__rate_interval]))', '{{datname}} commit'],
        ['sum by (datname) (rate(pg_stat_database_xact_rollback[$__rate_interval]))', '{{datname}} rollback'],
      ]),
      lines('connections', 'short', [['sum by (state) (pg_stat_activity_count)', '{{state}}']]),
      lines('longest transaction', 's', [
        ['max by (datname) (pg_stat_activity_max_tx_duration{state!="idle"})', '{{datname}}'],
      ]),
    ),
    row(
      8,
      lines('locks', 'short', [['sum by (mode) (pg_locks_count)', '{{mode}}']]),
      lines('size', 'bytes', [['sum by (datname) (pg_database_size_bytes)', '{{datname}}']]),
      lines('read from cache', 'percentunit', [
        [
          'sum(rate(pg_stat_database_blks_hit[$__rate_interval])) / (sum(rate(pg_stat_database_blks_hit[$__rate_interval])) + sum(rate(pg_stat_database_blks_read[$__rate_interval])))',
          'share',
        ],
      ]),
    ),
    row(
      8,
      lines('dead rows', 'short', [['topk(10, sum by (relname) (pg_stat_user_tables_n_dead_tup))', '{{relname}}']]),
      lines('standbys behind', 's', [['max by (instance) (pg_replication_lag_seconds)', '{{instance}}']]),
      lines('keeper', 'short', [
        [sum(of('millrace_keeper_actions_total'), 'action'), '{{action}}'],
        [sum(of('millrace_keeper_failures_total'), 'code'), 'failed: {{code}}'],
      ]),
    ),
    row(
      8,
      lines('PgBouncer: clients', 'short', [
        ['sum(pgbouncer_pools_client_active_connections)', 'active'],
        ['sum(pgbouncer_pools_client_waiting_connections)', 'waiting'],
      ]),
      lines('PgBouncer: longest wait', 's', [['max(pgbouncer_pools_client_maxwait_seconds)', 'wait']]),
    ),
  ],
}
