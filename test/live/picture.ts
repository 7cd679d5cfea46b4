/** A plausible picture, to be changed by tests. */
import { type Room, rooms } from '../../src/core/marks.ts'
import type { PartitionPicture, Picture } from '../../src/live/picture.ts'

const of = (value: (room: Room) => number) =>
  Object.fromEntries(rooms.map((room) => [room, value(room)])) as Record<Room, number>

export function partition(number: number, records: number, changes: Partial<PartitionPicture> = {}): PartitionPicture {
  const end = 1_000_000 + number
  return {
    topic: 'cloud-events',
    partition: number,
    replica: number % 2 === 0 ? 'replica-1' : 'replica-2',
    marks: of((room) => (room === 'consume' ? end : end - records)),
    endOffset: end,
    behind: of((room) => (room === 'consume' ? 0 : records)),
    lagSeconds: records / 100,
    stopped: null,
    ...changes,
  }
}

export const picture: Picture = {
  consumer: 'cloud-events',
  phase: 'running',
  hint: 'Ctrl-C ends the run',
  atMs: 1_795_256_612_773,
  elapsedMs: 12_400,
  forMs: 30_000,
  seed: 1_795_256_600_373,
  addresses: [
    ['kafka', '127.0.0.1:16078'],
    ['redis', 'redis://127.0.0.1:20252'],
    ['postgres', 'postgres://millrace:millrace@127.0.0.1:21136/millrace'],
  ],
  load: { perSecond: 6667, produced: 80_004, waiting: 0, failed: 0, lateMsP99: 4, ackMsP50: 3, ackMsP99: 12 },
  rooms: [
    { room: 'consume', perSecond: 6670, working: null, times: null, lagRecords: 0 },
    {
      room: 'decode',
      perSecond: 6668,
      working: 0.21,
      times: { working: 0.21, input: 0.74, output: 0.05 },
      lagRecords: 3,
    },
    {
      room: 'persist',
      perSecond: 6668,
      working: 0.72,
      times: { working: 0.72, input: 0.23, output: 0.05 },
      lagRecords: 12,
    },
    {
      room: 'publish',
      perSecond: 6667,
      working: 0.3,
      times: { working: 0.3, input: 0.65, output: 0.05 },
      lagRecords: 20,
    },
    { room: 'settle', perSecond: 6600, working: null, times: null, lagRecords: 60 },
  ],
  bottleneck: 'persist',
  limits: null,
  usefulReplicas: 2,
  publishes: true,
  storedPerSecond: 6665,
  publishedPerSecond: 6664,
  lagRecords: 12,
  lagSeconds: 0.02,
  lagHistory: Array.from({ length: 60 }, (_, second) => (second % 10) / 10),
  storedHistory: Array.from({ length: 60 }, (_, second) => 6000 + 10 * second),
  p99History: Array.from({ length: 60 }, (_, second) => second),
  stored: { count: 60_000, p50: 6.2, p95: 14, p99: 22 },
  published: { count: 60_000, p50: 7.8, p95: 17, p99: 28 },
  batchRows: { count: 900, p50: 12, p95: 60, p99: 120 },
  bytesInFlight: 120_000,
  inFlightBytesMax: 134_217_728,
  totals: {
    rows: 79_900,
    entries: 79_890,
    duplicates: 80,
    rejects: 24,
    skips: 0,
    fenced: 0,
    retries: 0,
    rebalances: 2,
  },
  restarts: 1,
  unassigned: 0,
  rejectsByCode: { not_json: 14, truncated: 10 },
  replicas: [
    {
      name: 'replica-1',
      state: null,
      adminUrl: 'http://127.0.0.1:41233',
      partitions: 50,
      lagRecords: 12,
      lagSeconds: 0.02,
      storedPerSecond: 3334,
      cpuShare: 0.41,
      residentBytes: 190_000_000,
      restarts: 0,
      reasons: [],
    },
    {
      name: 'replica-2',
      state: 'starts again in 2 s',
      adminUrl: null,
      partitions: 0,
      lagRecords: null,
      lagSeconds: null,
      storedPerSecond: 0,
      cpuShare: null,
      residentBytes: null,
      restarts: 1,
      reasons: [],
    },
  ],
  partitions: Array.from({ length: 100 }, (_, number) => partition(number, number === 17 ? 12_345 : number % 7)),
  events: [{ elapsedMs: 11_000, text: 'replica-2 ended (SIGKILL), starts again in 2 s' }],
}
