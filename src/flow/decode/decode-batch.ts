/** The pure heart of decode/: one packed batch through a consumer's decoder. Runs in the workers, and inline in memory.ts. */
import type { CopyOfDay, Decoded, Packed, Slice, TracedRecord } from '../../core/batch.ts'
import { ByteWriter } from '../../core/bytes.ts'
import { CodecError, codecNames } from '../../core/codecs.ts'
import { CopyWriter } from '../../core/copy.ts'
import { dayOf } from '../../core/day.ts'
import { EventView } from '../../core/event.ts'
import { writeEventId } from '../../core/identity.ts'
import { RecordFormatError, RecordView, unpackRun } from '../../core/record.ts'
import { TallyWriter } from '../../core/tally.ts'
import { type Reject, reject, type Verdict } from '../../core/verdict.ts'
import type { ConsumerDefinition } from '../../define.ts'
import type { DecodeLimits } from './port.ts'
import { addContext, contextOf } from './traced.ts'
import {
  type Clues,
  cluesOf,
  headersOf,
  noClues,
  type Origin,
  writeReject,
  writeRejected,
  writeUnread,
} from './write-reject.ts'
import { writeRow } from './write-row.ts'

const noBytes = new Uint8Array(0)

export function decodeBatch(
  definition: ConsumerDefinition,
  limits: DecodeLimits,
  packed: Packed,
  nowMs: number,
): Decoded {
  const { decoder, route, metrics } = definition
  const { again } = packed
  const buffer = Buffer.from(packed.buffer)
  const record = new RecordView()
  const event = new EventView()
  const origin: Origin = {
    consumer: Buffer.from(limits.consumer),
    topic: Buffer.from(definition.topic),
    decoder: Buffer.from(decoder.name),
  }
  const ids = new Uint8Array(packed.records * 16)
  const sliceOf = new Uint16Array(packed.records)
  const offset = new Float64Array(packed.records)
  const family = new Uint16Array(packed.records)
  const entryStart = new Int32Array(packed.records)
  const entryEnd = new Int32Array(packed.records)
  const timestampMs = new Float64Array(packed.records)
  const eventTimeMs = new Float64Array(packed.records)
  // What comes by again was counted when it was stored.
  const tally = metrics === undefined || again ? null : new TallyWriter(metrics, packed.records)
  const slices: Slice[] = []
  const families: string[] = []
  const familyIndex = new Map<string, number>()
  const entries = new ByteWriter(route === undefined ? 0 : packed.bytes)
  const copies = new Map<number, CopyWriter>()
  const codes: Record<string, number> = {}
  let rejects: CopyWriter | null = null
  const { tracedMax } = limits
  const traced: TracedRecord[] = []
  let unlabelled = 0
  let records = 0
  let rows = 0
  const oldestMs = nowMs - limits.eventPastMsMax
  const newestMs = nowMs + limits.eventFutureMsMax
  const condemned = new Map(packed.condemned.map((one) => [`${one.partition}/${one.offset}`, one.reason]))
  let currentDay = Number.NaN
  let current: CopyWriter | null = null

  const rejected = (partition: number, verdict: Reject, clues: Clues, write: (copy: CopyWriter) => void) => {
    codes[verdict.code] = (codes[verdict.code] ?? 0) + 1
    if (again) return
    rejects ??= new CopyWriter(4096)
    writeReject(rejects, origin, partition, verdict, clues, write)
  }

  for (let index = 0; index < packed.slices.length; index++) {
    const { partition, firstOffset, nextOffset, runs } = packed.slices[index] as Packed['slices'][number]
    const rowsBefore = rows
    const recordsBefore = records
    let rejectCount = 0
    let redriven = 0
    let skips = 0
    for (const run of runs) {
      /** The first offset of the run not yet judged: where a run turns out to be unreadable, what was read before stands. */
      let nextInRun = run.baseOffset
      try {
        const bytes = unpackRun(run.codec, buffer.subarray(run.start, run.end))
        record.open(bytes, run)
        for (let left = run.count; left > 0; left--) {
          record.next()
          if (record.offset < nextInRun || record.offset > run.lastOffset) {
            throw new RecordFormatError('its offsets do not ascend')
          }
          nextInRun = record.offset
          // A broker hands out whole batches, and a mark may lie within one.
          if (record.offset < firstOffset || record.offset >= nextOffset) continue
          let verdict: Verdict
          if (record.valueEnd - record.valueStart > limits.valueBytesMax) {
            event.reset(bytes)
            verdict = reject('too_large', `It has ${record.valueEnd - record.valueStart} bytes.`)
          } else verdict = decoder.decode(record, event)
          const eventMs = Math.floor(event.timeMicros / 1000)
          // A record that comes by again was judged when it was stored; the clock has moved since.
          if (verdict === null && !again && !(eventMs >= oldestMs && eventMs <= newestMs)) {
            verdict = reject('time_out_of_window', `It is ${describeTime(eventMs)}.`)
          }
          if (condemned.size > 0 && verdict === null) {
            const reason = condemned.get(`${partition}/${record.offset}`)
            if (reason !== undefined) verdict = reject('refused', reason)
          }
          // Headers may turn out unreadable yet; the row they belong to is begun only when they have been read.
          const headers = verdict?.kind === 'reject' ? headersOf(record) : null
          nextInRun++
          records++
          const context = tracedMax === 0 ? null : contextOf(record, event)
          if (context !== null && traced.length < tracedMax) {
            const row = verdict === null ? rows : -1
            const reject = verdict?.kind === 'reject' ? verdict.code : null
            const { traceId, spanId, state } = context
            traced.push({ traceId, spanId, state, slice: index, offset: record.offset, row, reject })
          }
          if (verdict !== null) {
            if (verdict.kind === 'skip') skips++
            else {
              rejectCount++
              const clues = cluesOf(record, event)
              if (clues.attempts > 0) redriven++
              rejected(partition, verdict, clues, (copy) => writeRejected(copy, record, headers as Buffer))
            }
            continue
          }

          if (event.unlabelled) unlabelled++
          const { source } = event
          writeEventId(ids, rows * 16, eventMs, source, event.id)
          tally?.row(rows, event.type, source, Math.max(0, record.valueEnd - record.valueStart))
          sliceOf[rows] = index
          offset[rows] = record.offset
          timestampMs[rows] = record.timestampMs
          eventTimeMs[rows] = eventMs
          if (route !== undefined) {
            const name = route(event)
            let at = familyIndex.get(name)
            if (at === undefined) {
              at = families.push(name) - 1
              familyIndex.set(name, at)
            }
            family[rows] = at
            entryStart[rows] = entries.length
            event.writeEntry(entries)
            if (context?.beside) addContext(entries, entryStart[rows] as number, context)
            entryEnd[rows] = entries.length
          }
          if (!again) {
            const day = dayOf(eventMs)
            if (day !== currentDay) {
              currentDay = day
              current = copies.get(day) ?? null
              if (current === null) {
                // One day is the rule; of several, each takes what it needs.
                current = new CopyWriter(copies.size === 0 ? packed.bytes + packed.records * 120 : 0)
                copies.set(day, current)
              }
            }
            writeRow(current as CopyWriter, event, record, ids, rows * 16, origin.topic, partition)
          }
          rows++
        }
      } catch (error) {
        if (!(error instanceof CodecError) && !(error instanceof RecordFormatError)) throw error
        // The rest of the run is lost to us but not to anybody else: each offset is a reject, the first one holds the batch's bytes.
        const from = Math.max(nextInRun, firstOffset)
        const to = Math.min(run.lastOffset + 1, nextOffset)
        const packedBytes = buffer.subarray(run.start, run.end)
        for (let at = from; at < to; at++) {
          records++
          rejectCount++
          const where = at === from ? '' : ` Its bytes are with offset ${from}.`
          const verdict = reject(
            'unreadable_batch',
            `${error.message} (${codecNames[run.codec] ?? run.codec}).${where}`,
          )
          rejected(partition, verdict, noClues, (copy) =>
            writeUnread(copy, at, run.maxTimestampMs, at === from ? packedBytes : null),
          )
        }
      }
    }
    slices.push({
      partition,
      firstOffset,
      nextOffset,
      records: records - recordsBefore,
      rows: rows - rowsBefore,
      rejects: rejectCount,
      ...(redriven > 0 && { redriven }),
      skips,
    })
  }

  const copiesOfDays: CopyOfDay[] = [...copies].map(([day, writer]) => ({
    day,
    rows: writer.rows,
    bytes: writer.finish(),
  }))
  const done = rejects as CopyWriter | null
  return {
    again,
    bytes: packed.bytes,
    records,
    slices,
    rows: { count: rows, ids, slice: sliceOf, offset, family, entryStart, entryEnd, timestampMs, eventMs: eventTimeMs },
    copies: copiesOfDays,
    rejects: { count: done?.rows ?? 0, bytes: done === null ? noBytes : done.finish(), codes },
    unlabelled,
    tally: tally?.finish() ?? null,
    families,
    entryBytes: entries.finish(),
    traced,
  }
}

function describeTime(ms: number): string {
  return Number.isNaN(ms) || Math.abs(ms) > 8.64e15 ? String(ms) : new Date(ms).toISOString()
}
