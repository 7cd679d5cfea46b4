/** COPY workers: each takes what is due, up to a batch, and commits it straight into the partitions of its days. */
import { CopyWriter } from '../core/copy.ts'
import { dayMs, dayOf, partitionName } from '../core/day.ts'
import { formatUuid, writeEventId } from '../core/identity.ts'
import { LatencyHistogram } from '../core/latency.ts'
import { runCopies } from '../flow/persist/copy-transaction.ts'
import { columns } from '../flow/persist/sql.ts'
import { createEvents, type SimulatedEvent } from './events.ts'
import { openLoop, scheduleOf } from './open-loop.ts'
import type { Connect, SimulatePostgresOptions } from './postgres.ts'
import { type Known, knownMax } from './postgres-reads.ts'
import { createRandom } from './random.ts'

/** One in so many rows is remembered for readers to ask for. */
const knownEvery = 8

export async function startStoring(
  connect: Connect,
  startedMs: number,
  known: Known[],
  options: SimulatePostgresOptions,
) {
  const { now, signal, seed, size, workers, batch, days } = options
  const events = createEvents({ seed, partitions: workers, ...(size !== undefined && { size }) })
  const luck = createRandom(seed)
  const committed = new LatencyHistogram()
  const counted = { rows: 0, batches: 0 }
  const clients = await Promise.all(
    Array.from({ length: workers }, (_, index) => connect(`millrace simulate copy ${index + 1}`)),
  )
  const free = clients.map((client, worker) => ({ client, worker }))
  const loop = openLoop({
    ...scheduleOf(options, startedMs),
    now,
    signal,
    inFlightMax: workers,
    chunkMax: batch,
    async work(first, dueMs) {
      const own = free.pop()!
      try {
        const copies = new Map<number, CopyWriter>()
        const made: Known[] = []
        for (const [index, due] of dueMs.entries()) {
          const back = days === 1 ? 0 : luck.below(days)
          const event = events.nextEvent(due - back * dayMs)
          const day = dayOf(event.timestampMs)
          let copy = copies.get(day)
          if (copy === undefined) {
            copy = new CopyWriter(dueMs.length * 500)
            copies.set(day, copy)
          }
          made.push(writeRow(copy, event, own.worker, first + index))
        }
        const dayList = [...copies.keys()]
        const text = dayList.map(
          (day) => `COPY ${partitionName('cloud_events', day)} (${columns}) FROM STDIN (FORMAT binary)`,
        )
        await runCopies(
          own.client,
          ['BEGIN', ...text, 'COMMIT'].join('; '),
          [...copies.values()].map((copy) => copy.finish()),
        )
        committed.recordAges(now(), dueMs)
        counted.rows += dueMs.length
        counted.batches++
        for (let at = 0; at < made.length; at += knownEvery) {
          if (known.length < knownMax) known.push(made[at] as Known)
          else known[luck.below(knownMax)] = made[at] as Known
        }
      } finally {
        free.push(own)
      }
    },
  })
  loop.done.catch(() => {})
  return {
    loop,
    committed,
    get rows() {
      return counted.rows
    },
    get batches() {
      return counted.batches
    },
  }
}

const topic = Buffer.from('simulated')

function writeRow(copy: CopyWriter, event: SimulatedEvent, worker: number, place: number): Known {
  const { type, source, id, subject, tenant, timestampMs, data } = event
  const key = new Uint8Array(16)
  writeEventId(key, 0, timestampMs, source, id)
  const json = Buffer.from(data)
  const texts = [source, id, type, subject, tenant].map((text) => Buffer.from(text))
  const bytes = texts.reduce((sum, text) => sum + text.length, json.length)
  copy.row(14, bytes + 128)
  copy.bytes(key, 0, 16)
  copy.timestamp(timestampMs * 1000)
  for (const text of texts) copy.bytes(text, 0, text.length)
  copy.jsonb(json, 0, json.length)
  copy.null()
  copy.bytes(topic, 0, topic.length)
  copy.int32(worker)
  copy.int64(place)
  copy.timestamp(timestampMs * 1000)
  copy.null()
  return { id: formatUuid(key), type, subject }
}
