/** The five rooms side by side, in the order in which a record walks through them. Each row asks the same of every room. */
import type { Room } from '../../../src/core/marks.ts'
import { type Board, figure, heading, lines, type Panel, row, stacked, table } from '../board.ts'
import { max, min, of, quantiles, rate, roomColours, rooms, sum } from '../queries.ts'

const effects = {
  consume: 'records from Kafka',
  decode: 'bytes to verdicts',
  persist: 'COPY into PostgreSQL',
  publish: 'entries into Redis',
  settle: 'the offset in Kafka',
}

/** The three rooms between the ends keep a clock; what the ends take is the main thread's and Kafka's. */
function timeOf(room: Room): Panel {
  if (room === 'consume') {
    const share = max(of('millrace_main_thread_share'), 'instance')
    return lines('main thread', 'percentunit', [[share, '{{instance}}']], { max: 1, help: 'CPU of one core.' })
  }
  if (room === 'settle') {
    return lines('settled, times/s', 'ops', [[sum(rate('millrace_batches_total', 'room="settle"')), 'batches']])
  }
  const seconds = rate('millrace_room_seconds_total', `room="${room}"`)
  return stacked(
    'where its time goes',
    'percentunit',
    [[`${sum(seconds, 'state')} / on () group_left () ${sum(seconds)}`, '{{state}}']],
    { max: 1, help: 'Working, waiting for input, waiting for the next room to take something.' },
  )
}

export const flow: Board = {
  uid: 'millrace-flow',
  title: 'Millrace: flow',
  description: 'What passes through the rooms, what waits before each of them, and which one limits the others.',
  rows: [
    row(
      4,
      figure('Lag', 's', [[max(of('millrace_lag_seconds')), 'lag']], { limits: [5, 60] }),
      figure('Waiting', 'short', [[sum(of('millrace_lag_records')), 'records']]),
      figure('Stored', 'ops', [[sum(rate('millrace_rows_total')), 'rows']]),
      figure('p99 to published', 's', [quantiles('millrace_produced_to_published_seconds')[2]!], {
        limits: [0.05, 0.5],
      }),
      figure('Useful replicas', 'none', [[max(of('millrace_useful_replicas')), 'replicas']]),
      figure('Rejected', 'percentunit', [['max(millrace:rejects:ratio1m{consumer=~"$consumer"})', 'share']], {
        limits: [0.01, 0.05],
      }),
    ),
    row(2, ...rooms.map((room) => heading(room, effects[room]))),
    row(
      6,
      ...rooms.map((room) =>
        lines(
          'records/s',
          'ops',
          [[sum(rate('millrace_records_total', `room="${room}"`), 'instance'), '{{instance}}']],
          {
            colour: roomColours[room],
          },
        ),
      ),
    ),
    row(6, ...rooms.map(timeOf)),
    row(
      6,
      ...rooms.map((room) =>
        lines('waiting before it', 'short', [[sum(of('millrace_room_lag_records', `room="${room}"`)), 'records']], {
          colour: roomColours[room],
        }),
      ),
    ),
    row(
      6,
      ...rooms.map((room) =>
        lines('age of the oldest', 's', [[max(of('millrace_room_lag_seconds', `room="${room}"`)), 'age']], {
          colour: roomColours[room],
        }),
      ),
    ),
    row(
      7,
      lines('bytes in flight', 'bytes', [[sum(of('millrace_bytes_in_flight'), 'instance'), '{{instance}}']]),
      lines('decode queue', 'short', [[sum(of('millrace_decode_queue'), 'instance'), '{{instance}}']]),
      lines('rows of a COPY', 'short', quantiles('millrace_batch_rows')),
      lines('stored, not published', 'short', [[sum(of('millrace_unpublished_records'), 'instance'), '{{instance}}']]),
      lines('bottleneck', 'none', [[max(of('millrace_bottleneck'), 'room'), '{{room}}']], { max: 1 }),
    ),
    row(
      8,
      lines('produced to stored', 's', quantiles('millrace_produced_to_stored_seconds'), { limits: [0.05, 0.5] }),
      lines('produced to published', 's', quantiles('millrace_produced_to_published_seconds'), { limits: [0.05, 0.5] }),
      lines('event time to published', 's', quantiles('millrace_event_to_published_seconds'), {
        help: "From the event's own time: includes what the producer took.",
      }),
    ),
    row(
      8,
      lines('rejects/s by code', 'ops', [[sum(rate('millrace_rejects_total'), 'code'), '{{code}}']]),
      lines('retries/s', 'ops', [[sum(rate('millrace_retries_total'), 'room, code'), '{{room}} {{code}}']]),
      lines('retention headroom', 's', [[min(of('millrace_retention_headroom_seconds')), 'headroom']]),
    ),
    row(
      9,
      table('partitions with the most lag', 's', [
        [`topk(20, ${max(of('millrace_partition_lag_seconds'), 'instance, topic, partition')})`, ''],
      ]),
      table('alerts that fire', 'none', [['ALERTS{alertstate="firing"}', '']]),
    ),
  ],
}
