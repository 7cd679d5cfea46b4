/** Kafka: brokers, the topic, the group, and how much room retention leaves. */
import { type Board, figure, lines, row } from '../board.ts'
import { max, min, of, rate, sum } from '../queries.ts'

export const kafka: Board = {
  uid: 'millrace-kafka',
  title: 'Millrace: Kafka',
  description: 'Brokers, what comes in, what waits, and how long Kafka keeps it.',
  rows: [
    row(
      4,
      figure('Brokers', 'none', [['max(kafka_brokers)', 'brokers']]),
      figure('Under-replicated', 'none', [['sum(kafka_topic_partition_under_replicated_partition)', 'partitions']], {
        limits: [1, 1],
      }),
      figure('Retention headroom', 's', [[min(of('millrace_retention_headroom_seconds')), 'headroom']]),
      figure('Stopped partitions', 'none', [[sum(of('millrace_partitions_stopped')), 'partitions']], {
        limits: [1, 1],
      }),
      figure('Silent replicas', 'none', [[sum(of('millrace_server_away', 'server="kafka"')), 'replicas']], {
        limits: [1, 1],
      }),
    ),
    row(
      8,
      lines('records/s into the topic', 'ops', [
        ['sum by (topic) (rate(kafka_topic_partition_current_offset[$__rate_interval]))', '{{topic}}'],
      ]),
      lines('records/s taken in', 'ops', [
        [sum(rate('millrace_records_total', 'room="consume"'), 'instance'), '{{instance}}'],
      ]),
    ),
    row(
      8,
      lines('lag by the ledger', 'short', [[sum(of('millrace_lag_records')), 'records']], {
        help: 'What is not stored: the truth.',
      }),
      lines(
        "lag by the group's offset",
        'short',
        [['sum by (consumergroup, topic) (kafka_consumergroup_lag)', '{{consumergroup}} {{topic}}']],
        { help: 'The mirror, settled about once a second.' },
      ),
      lines('partitions with lag', 's', [
        [`topk(10, ${max(of('millrace_partition_lag_seconds'), 'partition')})`, '{{partition}}'],
      ]),
    ),
    row(
      8,
      lines(
        'headroom, the smallest',
        'short',
        [[`bottomk(10, ${min(of('millrace_partition_headroom_records'), 'partition')})`, '{{partition}}']],
        { help: 'Offsets that retention may still take without loss.' },
      ),
      lines('rebalances', 'short', [[sum(of('millrace_rebalances_total'), 'instance'), '{{instance}}']]),
      lines('seeks and gaps', 'short', [
        [sum(of('millrace_gate_seeks_total')), 'seeks'],
        [sum(of('millrace_gaps_total')), 'gaps'],
      ]),
    ),
  ],
}
