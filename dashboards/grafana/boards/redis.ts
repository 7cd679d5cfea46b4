/** Redis and the streams. */
import { type Board, figure, lines, row } from '../board.ts'
import { max, of, quantiles, rate, sum } from '../queries.ts'

export const redis: Board = {
  uid: 'millrace-redis',
  title: 'Millrace: Redis',
  description: 'Entries, memory, commands, and how far the streams are behind PostgreSQL.',
  rows: [
    row(
      4,
      figure('Redis answers', 'none', [['min(redis_up)', 'up']]),
      figure('Entries a second', 'ops', [[sum(rate('millrace_entries_total')), 'entries']]),
      figure('Behind PostgreSQL', 'short', [[sum(of('millrace_unpublished_records')), 'records']], {
        limits: [1000, 10_000],
      }),
      figure('Away', 'none', [[max(of('millrace_publish_away')), 'away']], { limits: [1, 1] }),
      figure('Refilled', 'short', [[sum(of('millrace_refilled_entries_total')), 'entries']]),
    ),
    row(
      8,
      lines('memory', 'bytes', [
        [max(of('millrace_redis_memory_bytes')), 'used'],
        [max(of('millrace_redis_memory_max_bytes')), 'maxmemory (0: none)'],
      ]),
      lines('entries by family', 'short', [[sum(of('millrace_stream_entries'), 'family'), '{{family}}']]),
      lines('produced to published', 's', quantiles('millrace_produced_to_published_seconds'), { limits: [0.05, 0.5] }),
    ),
    row(
      8,
      lines('commands/s', 'ops', [['topk(8, sum by (cmd) (rate(redis_commands_total[$__rate_interval])))', '{{cmd}}']]),
      lines('time in a command', 's', [
        [
          'topk(8, sum by (cmd) (rate(redis_commands_duration_seconds_total[$__rate_interval])) / sum by (cmd) (rate(redis_commands_total[$__rate_interval])))',
          '{{cmd}}',
        ],
      ]),
      lines('clients', 'short', [
        ['sum(redis_connected_clients)', 'connected'],
        ['sum(redis_blocked_clients)', 'blocked'],
      ]),
    ),
    row(
      8,
      lines('evicted keys', 'short', [['sum(redis_evicted_keys_total)', 'keys']], {
        help: 'Must stay 0: an evicted stream is gone with its groups.',
      }),
      lines('fragmentation', 'none', [['max(redis_mem_fragmentation_ratio)', 'resident by used']]),
      lines('network', 'Bps', [
        ['sum(rate(redis_net_input_bytes_total[$__rate_interval]))', 'in'],
        ['sum(rate(redis_net_output_bytes_total[$__rate_interval]))', 'out'],
      ]),
    ),
  ],
}
