/** Kafka, and what lies between Kafka and the ledger. */
import { type Alert, escalating } from './alert.ts'

export const streaming: readonly Alert[] = [
  {
    name: 'KafkaBrokerDown',
    severity: 'critical',
    team: 'streaming',
    for: '30s',
    expr: `max by (consumer) (millrace_server_away{server="kafka"}) == 1
or kafka_brokers < max_over_time(kafka_brokers[1h])
or up{job="kafka"} == 0`,
    summary: 'A Kafka broker is missing',
    description: 'A replica hears nothing from Kafka, or there are fewer brokers than within the last hour.',
  },
  ...escalating(
    {
      name: 'KafkaUnderReplicated',
      team: 'streaming',
      summary: '{{ $value }} partitions of {{ $labels.topic }} have fewer copies than they should',
      description: 'One more broker lost may stop these partitions, or lose what was acknowledged.',
    },
    { for: '2m', expr: 'sum by (topic) (kafka_topic_partition_under_replicated_partition) > 0' },
    { for: '30m', expr: 'sum by (topic) (kafka_topic_partition_under_replicated_partition) > 0' },
  ),
  // Only with lag: a topic that keeps an hour has never more than an hour of headroom.
  ...escalating(
    {
      name: 'RetentionHeadroom',
      team: 'streaming',
      summary: '{{ $labels.consumer }}: Kafka deletes unread records in {{ $value | humanizeDuration }}',
      description: 'The oldest record that is not stored yet will then be beyond the retention of the topic.',
    },
    {
      for: '1m',
      expr: 'min by (consumer) (millrace_retention_headroom_seconds) < 6 * 3600 and millrace:lag_seconds:max > 60',
    },
    {
      for: '1m',
      expr: 'min by (consumer) (millrace_retention_headroom_seconds) < 3600 and millrace:lag_seconds:max > 60',
    },
  ),
  {
    name: 'PartitionStopped',
    severity: 'critical',
    team: 'streaming',
    for: '30s',
    expr: 'sum by (consumer, code) (millrace_partitions_stopped) > 0',
    summary: '{{ $labels.consumer }}: {{ $value }} partitions stand still ({{ $labels.code }})',
    description: 'Their marks contradict Kafka. They wait for a decision; nothing is reset by itself.',
  },
  {
    name: 'OffsetGap',
    severity: 'warning',
    team: 'streaming',
    for: '0s',
    expr: 'sum by (consumer) (increase(millrace_gaps_total[5m])) > 0',
    summary: '{{ $labels.consumer }}: Kafka has left out offsets',
    description:
      'It went on beyond the offset asked for, twice asked: the topic is compacted, or records were deleted.',
  },
  ...escalating(
    {
      name: 'Fenced',
      team: 'streaming',
      summary: '{{ $labels.consumer }}: batches were dropped because another process had moved the ledger',
      description: '{{ $value | humanize }} within five minutes. Nothing is lost or doubled; work is done twice.',
    },
    { for: '0s', expr: 'sum by (consumer) (increase(millrace_fenced_total[5m])) > 0' },
    {
      for: '5m',
      expr: 'sum by (consumer) (increase(millrace_fenced_total[5m])) > 20',
      description: '{{ $value | humanize }} within five minutes, and no end: two fleets fight over one ledger.',
    },
  ),
]
