/** What several alerts and dashboards ask for is computed once. Named level:metric:operation, as Prometheus recommends. */

const byRoom = (window: string) => `sum by (consumer, room) (rate(millrace_records_total[${window}]))`
const p99 = (metric: string) => `histogram_quantile(0.99, sum by (consumer, le) (rate(${metric}_bucket[5m])))`

export const recording: readonly (readonly [record: string, expr: string])[] = [
  ['millrace:lag_seconds:max', 'max by (consumer) (millrace_lag_seconds)'],
  ['millrace:records:rate1m', byRoom('1m')],
  ['millrace:records:rate5m', byRoom('5m')],
  ['millrace:produced_to_stored_seconds:p99_5m', p99('millrace_produced_to_stored_seconds')],
  ['millrace:produced_to_published_seconds:p99_5m', p99('millrace_produced_to_published_seconds')],
  [
    'millrace:room_working:ratio5m',
    `sum by (consumer, room) (rate(millrace_room_seconds_total{state="working"}[5m]))
/ (sum by (consumer, room) (rate(millrace_room_seconds_total[5m])) > 0)`,
  ],
  // Codes that have not come yet have no series: without any, the ratio is zero, not absent.
  [
    'millrace:rejects:ratio1m',
    `(sum by (consumer) (rate(millrace_rejects_total[1m])) or 0 * sum by (consumer) (rate(millrace_records_total{room="persist"}[1m])))
/ (sum by (consumer) (rate(millrace_records_total{room="persist"}[1m])) > 0)`,
  ],
  [
    'bss:payment_failures:ratio10m',
    `sum by (consumer) (rate(bss_payments_total{state="failed"}[10m]))
/ (sum by (consumer) (rate(bss_payments_total[10m])) > 0)`,
  ],
  [
    'millrace:disk_free:ratio',
    `node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs"}
/ node_filesystem_size_bytes{fstype!~"tmpfs|overlay|squashfs"}`,
  ],
]
