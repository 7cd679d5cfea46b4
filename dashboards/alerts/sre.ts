/** The fleet itself: is it there, does it move, is it in time, and for how much longer will it be? */
import { type Alert, escalating } from './alert.ts'

export const sre: readonly Alert[] = [
  ...escalating(
    {
      name: 'ReplicaDown',
      team: 'sre',
      summary: 'Replica {{ $labels.instance }} of {{ $labels.consumer }} does not answer',
      description: 'Prometheus has had no answer from its admin port. The others take its partitions over meanwhile.',
    },
    { for: '30s', expr: 'up{job="millrace"} == 0' },
    {
      for: '30s',
      expr: 'sum by (consumer) (up{job="millrace"}) == 0 or absent(up{job="millrace"})',
      summary: 'No replica of {{ or $labels.consumer "the fleet" }} answers',
      description: 'Nothing is being stored. Kafka keeps the records as long as its retention lasts; lag is not told.',
    },
  ),
  {
    name: 'ReplicaRestarts',
    severity: 'warning',
    team: 'sre',
    for: '0s',
    expr: 'changes(process_start_time_seconds{job="millrace"}[15m]) > 2',
    summary: 'Replica {{ $labels.instance }} of {{ $labels.consumer }} ends and is started again and again',
    description: 'It has been started anew {{ $value }} times within 15 minutes. Each start is a rebalance for all.',
  },
  {
    name: 'NoProgress',
    severity: 'critical',
    team: 'sre',
    for: '1m',
    expr: `sum by (consumer, instance) (millrace_lag_records) > 0
and sum by (consumer, instance) (increase(millrace_records_total{room="persist"}[1m])) == 0`,
    summary: 'Replica {{ $labels.instance }} of {{ $labels.consumer }} stores nothing',
    description: '{{ $value }} records wait for it, and for two minutes it has not stored one.',
  },
  // Two windows: the long one proves that it lasts, the short one ends the alert as soon as it is over.
  ...escalating(
    {
      name: 'LagSeconds',
      team: 'sre',
      summary: '{{ $labels.consumer }} is {{ $value | humanizeDuration }} behind',
      description: 'The oldest record that is not stored yet is so old, on average over the window.',
    },
    {
      for: '0s',
      expr: 'avg_over_time(millrace:lag_seconds:max[10m]) > 5 and avg_over_time(millrace:lag_seconds:max[1m]) > 5',
    },
    {
      for: '0s',
      expr: 'avg_over_time(millrace:lag_seconds:max[2m]) > 60 and avg_over_time(millrace:lag_seconds:max[30s]) > 60',
    },
  ),
  {
    name: 'LatencySla',
    severity: 'warning',
    team: 'sre',
    for: '5m',
    expr: 'millrace:produced_to_published_seconds:p99_5m > 0.05 or millrace:produced_to_stored_seconds:p99_5m > 0.05',
    summary: '{{ $labels.consumer }}: one event in a hundred takes {{ $value | humanizeDuration }}',
    description: 'The agreed p99 from Kafka to PostgreSQL and Redis is 50 ms.',
  },
  {
    name: 'ThroughputSla',
    severity: 'critical',
    team: 'sre',
    for: '2m',
    expr: 'millrace:records:rate1m{room="persist"} < 6667 and on (consumer) millrace:lag_seconds:max > 5',
    summary: '{{ $labels.consumer }} stores {{ $value | humanize }} records a second while more are waiting',
    description: 'Agreed are 6,667 a second (400,000 a minute) when there is input, and there is: the lag is over 5 s.',
  },
  {
    name: 'ApproachingCapacity',
    severity: 'warning',
    team: 'sre',
    for: '10m',
    expr: 'millrace:room_working:ratio5m > 0.8',
    summary: '{{ $labels.consumer }}: {{ $labels.room }} works {{ $value | humanizePercentage }} of its time',
    description: 'There is little left for a peak, or for catching up after an outage.',
  },
  ...escalating(
    {
      name: 'DiskRunningOut',
      team: 'sre',
      summary: '{{ $labels.instance }}: {{ $labels.mountpoint }} is running full',
      description: '{{ $value | humanizePercentage }} are free.',
    },
    {
      for: '10m',
      expr: `millrace:disk_free:ratio < 0.3
and on (instance, mountpoint) predict_linear(node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs"}[6h], 86400) < 0`,
      description:
        '{{ $value | humanizePercentage }} are free, and at the pace of the last hours nothing will be in a day.',
    },
    { for: '2m', expr: 'millrace:disk_free:ratio < 0.05' },
  ),
  ...escalating(
    {
      name: 'CertificateExpiring',
      team: 'sre',
      summary: 'The certificate of {{ $labels.instance }} expires in {{ $value | humanizeDuration }}',
      description: 'From then on the fleet is refused, or refuses: KAFKA_AUTH, POSTGRES_AUTH, REDIS_AUTH.',
    },
    { for: '10m', expr: 'probe_ssl_earliest_cert_expiry - time() < 21 * 86400' },
    { for: '10m', expr: 'probe_ssl_earliest_cert_expiry - time() < 3 * 86400' },
  ),
]
