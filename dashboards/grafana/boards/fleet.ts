/** The processes: who is there, with how much work, how busy, and what went wrong. */
import { type Board, figure, lines, row, table } from '../board.ts'
import { max, of, rate, sum } from '../queries.ts'

const each = (expr: string): [string, string][] => [[expr, '{{instance}}']]

export const fleet: Board = {
  uid: 'millrace-fleet',
  title: 'Millrace: fleet',
  description: 'Replicas, their partitions, CPU and memory, the event loop, and the machines below.',
  rows: [
    row(
      4,
      figure('Replicas', 'none', [['sum(up{job="millrace",consumer=~"$consumer"})', 'up']]),
      figure('Missing', 'none', [['sum(1 - up{job="millrace",consumer=~"$consumer"})', 'down']], { limits: [1, 2] }),
      figure('Useful replicas', 'none', [[max(of('millrace_useful_replicas')), 'replicas']]),
      figure('Partitions', 'none', [[sum(of('millrace_assigned_partitions')), 'partitions']]),
      figure('Fenced', 'short', [[sum(of('millrace_fenced_total')), 'batches']]),
      figure('Restarts', 'short', [[sum(of('millrace_restarts_total')), 'restarts']]),
    ),
    row(
      8,
      lines('partitions', 'short', each(sum(of('millrace_assigned_partitions'), 'instance'))),
      lines('rows/s', 'ops', each(sum(rate('millrace_rows_total'), 'instance'))),
      lines('lag', 's', each(max(of('millrace_lag_seconds'), 'instance'))),
    ),
    row(
      8,
      lines('CPU', 'percentunit', each(sum(rate('process_cpu_seconds_total'), 'instance')), { help: 'Of one core.' }),
      lines('memory', 'bytes', each(sum(of('process_resident_memory_bytes'), 'instance'))),
      lines('event loop delay', 's', [
        [max(of('millrace_event_loop_delay_seconds'), 'instance, quantile'), '{{instance}} {{quantile}}'],
      ]),
    ),
    row(
      8,
      lines('rebalances', 'short', each(sum(of('millrace_rebalances_total'), 'instance'))),
      lines('dropped work', 'short', [[sum(of('millrace_lost_total'), 'code'), '{{code}}']]),
      lines('main thread', 'percentunit', each(max(of('millrace_main_thread_share'), 'instance')), { max: 1 }),
    ),
    row(
      8,
      lines('machine: CPU', 'percentunit', [
        ['1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[$__rate_interval]))', '{{instance}}'],
      ]),
      lines('machine: memory free', 'bytes', [['sum by (instance) (node_memory_MemAvailable_bytes)', '{{instance}}']]),
      lines('machine: disk free', 'percentunit', [
        ['min by (instance, mountpoint) (millrace:disk_free:ratio)', '{{instance}} {{mountpoint}}'],
      ]),
    ),
    row(
      8,
      table('versions', 'none', [[of('millrace_info'), '']]),
      table('certificates', 's', [['probe_ssl_earliest_cert_expiry - time()', '']]),
    ),
  ],
}
