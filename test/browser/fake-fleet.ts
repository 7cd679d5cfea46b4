/** The page over replicas that tell what a test wants: two that flow, one partition far behind, one stopped, rejects, and what has happened. */
import { LatencyHistogram } from '../../src/core/latency.ts'
import type { Status } from '../../src/core/status.ts'
import { pageRoutes } from '../../src/live/page.ts'
import { openWatch } from '../../src/live/watch.ts'
import { type Answers, serveAnswers } from '../../src/process/serve-answers.ts'
import { flowing, partitionStatus, perRoom } from '../live/statuses.ts'

const topicPartitions = 100
/** So that the charts have something to show when the page is opened. */
const secondsBefore = 240
const bases = { consume: 0, decode: 0.31, persist: 0.78, publish: 0.42, settle: 0 }

export interface FakeFleet extends AsyncDisposable {
  readonly url: string
  /** How often a browser has asked for what is drawn anew. */
  readonly asked: number
  /** The server goes away. */
  close(): Promise<void>
}

export async function openFakeFleet(): Promise<FakeFleet> {
  let second = 0
  const watch = openWatch({
    consumer: 'cloud-events',
    now: () => second * 1000,
    replicas: [1, 2].map((number) => ({
      name: `replica-${number}`,
      state: { kind: 'serving', adminUrl: `http://127.0.0.1:${9463 + number}` },
      restarts: number - 1,
    })),
    ask: async (adminUrl) => tell(adminUrl.endsWith('4') ? 0 : 1, second),
    addresses: [['kafka', '127.0.0.1:9092']],
  })
  const look = async () => {
    second += 1
    await watch.look()
  }
  for (let i = 0; i < secondsBefore; i += 1) {
    await look()
    if (i === 200) watch.event('replica-2 ended (SIGKILL), starts again in 0.5 s')
  }
  const timer = setInterval(() => void look(), 1000)
  let asked = 0
  const { '/live': live, ...routes } = pageRoutes(() => watch.picture(), 'the fleet')
  const server: Answers = await serveAnswers({
    host: '127.0.0.1',
    port: 0,
    name: 'The page of the test',
    portSetting: 'nothing',
    hostSetting: 'nothing',
    routes: {
      ...routes,
      '/live': () => {
        asked += 1
        return (live as NonNullable<typeof live>)()
      },
    },
    onError() {},
  })
  let isOpen = true
  const close = async () => {
    clearInterval(timer)
    if (isOpen) await server.close()
    isOpen = false
  }
  return {
    url: server.url,
    get asked() {
      return asked
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

function tell(index: number, second: number): Status {
  // A rate that comes and goes like the tide, added up.
  const rows = Math.round(3333 * (second - 0.9 * Math.cos(second / 9) + 0.9))
  const lagSeconds = second % 60 > 40 ? (second % 60) - 40 : 0.05
  const ends = Math.round(66 * second)
  const partitions = Array.from({ length: topicPartitions / 2 }, (_, at) => 2 * at + index)
    .filter((partition) => partition !== 41)
    .map((partition) => {
      const behind =
        partition === 17 ? Math.min(ends, 12_345) : partition % 9 === 0 ? Math.min(ends, 400) : partition % 4
      return partitionStatus(partition, ends - behind, ends, partition === 17 ? lagSeconds : 0.05)
    })
  const stored = new LatencyHistogram()
  stored.record(9, 60 * second)
  stored.record(31, 4 * second)
  const status = flowing(3333, bases.persist, { replica: `replica-${index + 1}`, pid: 100 + index })(second)
  return {
    ...status,
    partitions,
    topicPartitions,
    usefulReplicas: 2,
    lagRecords: 12_745,
    lagSeconds: index === 1 ? lagSeconds : 0.05,
    rooms: perRoom((room) => ({
      records: rows,
      batches: second,
      seconds:
        bases[room] === 0
          ? { working: 0, input: 0, output: 0 }
          : { working: bases[room] * second, input: (0.95 - bases[room]) * second, output: 0.05 * second },
    })),
    totals: {
      ...status.totals,
      rows,
      entries: rows,
      duplicates: 80 * index,
      rejects: 24,
      rebalances: 2,
      retries: index,
    },
    rejectsByCode: { not_json: 14, truncated: 7, bad_time: 3 },
    storedMs: stored.snapshot(),
    publishedMs: stored.snapshot(),
    stopped:
      index === 1
        ? [
            {
              partition: 41,
              code: 'RETENTION_OVERTOOK',
              reason: 'Kafka no longer holds 12 records that were never stored.',
            },
          ]
        : [],
  }
}
