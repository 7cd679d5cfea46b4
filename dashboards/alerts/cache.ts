/** Redis and the streams. */
import { type Alert, escalating } from './alert.ts'

export const cache: readonly Alert[] = [
  {
    name: 'RedisDown',
    severity: 'critical',
    team: 'cache',
    for: '15s',
    expr: 'max by (consumer) (millrace_server_away{server="redis"}) == 1 or redis_up == 0',
    summary: 'Redis does not answer',
    description: 'Storing goes on; the streams stand still and are filled in order when it is back.',
  },
  ...escalating(
    {
      name: 'RedisBehindPostgres',
      team: 'cache',
      summary: '{{ $labels.consumer }}: {{ $value | humanize }} records are stored and not published',
      description: 'Readers of the streams do not see them yet.',
    },
    { for: '2m', expr: 'sum by (consumer) (millrace_unpublished_records) > 10000' },
    { for: '15m', expr: 'sum by (consumer) (millrace_unpublished_records) > 10000' },
  ),
  ...escalating(
    {
      name: 'RedisNearMaxmemory',
      team: 'cache',
      summary: 'Redis has used {{ $value | humanizePercentage }} of maxmemory',
      description: 'At 100 % it refuses to write (REDIS_FULL), and the streams stand still.',
    },
    {
      for: '2m',
      expr: 'max by (consumer) (millrace_redis_memory_bytes / (millrace_redis_memory_max_bytes > 0)) > 0.8',
    },
    {
      for: '1m',
      expr: 'max by (consumer) (millrace_redis_memory_bytes / (millrace_redis_memory_max_bytes > 0)) > 0.95',
    },
  ),
]
