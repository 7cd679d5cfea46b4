/**
 * Too many bad records are no bad records but a bad deploy, of a producer or of ours, and a topic must not drain into `rejects` because of it.
 *
 * Two limits, each off at 0. The share of rejects among the records of the last minute or so, judged once there are enough of them; and the run of
 * rejects in one partition without a good record between. Every batch is judged before it is stored, and the batch that crosses a limit is not: at
 * most one limit's worth of rejects gets in. Once crossed, nothing passes any more.
 *
 * A run is counted by batches: a good record anywhere in a batch's part of the partition ends it, and so does reading on from elsewhere. What an
 * operator has redriven is known to have been bad and counts as neither good nor bad.
 */
import type { Decoded, Slice } from './batch.ts'
import { count } from './count.ts'
import { FatalError } from './errors.ts'
import { rejectCodes } from './verdict.ts'

export interface RejectLimits {
  /** Of the records within the window; 0: off. */
  readonly percentMax: number
  readonly windowMs: number
  /** Fewer records than this say nothing about a share. */
  readonly windowRecordsMin: number
  /** Rejects of one partition in a row; 0: off. */
  readonly runMax: number
}

/** A partition whose newest records are bad: where its run goes on, and how long it is. */
export interface KnownRun {
  readonly partition: number
  readonly nextOffset: number
  readonly length: number
}

export interface RejectLimitOptions extends RejectLimits {
  readonly consumer: string
  readonly topic: string
  /** What the processes before have left. */
  readonly runs?: readonly KnownRun[]
}

type Codes = Record<string, number>

/** What was judged since then, for a sixtieth of the window: a process has hundreds of batches a second. */
interface Bucket {
  readonly sinceMs: number
  records: number
  bad: number
  readonly codes: Codes
}
const buckets = 60

type Judged = Pick<Decoded, 'again' | 'slices' | 'rejects'>

/** Answers the judge of every batch, in the order in which batches are to be stored; it throws REJECT_LIMIT. */
export function createRejectLimit(options: RejectLimitOptions): (batch: Judged, nowMs: number) => void {
  const { percentMax, windowMs, windowRecordsMin, runMax } = options
  const runs = new Map(options.runs?.map((known) => [known.partition, known]))
  const window: Bucket[] = []
  let crossed: FatalError | null = null

  function share(batch: Judged, nowMs: number): string | null {
    while (window.length > 0 && (window[0] as Bucket).sinceMs <= nowMs - windowMs) window.shift()
    let last = window.at(-1)
    if (last === undefined || last.sinceMs <= nowMs - windowMs / buckets) {
      last = { sinceMs: nowMs, records: 0, bad: 0, codes: {} }
      window.push(last)
    }
    for (const slice of batch.slices) {
      last.records += slice.records - redriven(slice)
      last.bad += slice.rejects - redriven(slice)
    }
    add(last.codes, batch.rejects.codes)
    const records = window.reduce((sum, one) => sum + one.records, 0)
    const bad = window.reduce((sum, one) => sum + one.bad, 0)
    if (percentMax === 0 || records < windowRecordsMin || bad * 100 <= records * percentMax) return null
    const percent = Math.floor((bad * 1000) / records) / 10
    return `${count(bad)} of the last ${count(records)} records (${percent} %) are bad, and rejectPercentMax is ${percentMax}`
  }

  function run(slice: Slice): string | null {
    const { partition, firstOffset, nextOffset, rows } = slice
    const known = runs.get(partition)
    const before = known?.nextOffset === firstOffset ? known.length : 0
    const bad = slice.rejects - redriven(slice)
    const length = rows > 0 ? 0 : before + bad
    if (length > 0) runs.set(partition, { partition, nextOffset, length })
    else runs.delete(partition)
    // A gap behind a long run, as aborted transactions leave it, is nothing to stop for.
    if (runMax === 0 || length < runMax || bad === 0) return null
    return `${count(length)} records in a row of partition ${partition} are bad, and rejectRunMax is ${runMax}`
  }

  return (batch, nowMs) => {
    if (crossed !== null) throw crossed
    if (batch.again) return
    const reasons = [share(batch, nowMs), ...batch.slices.map(run)].filter((reason) => reason !== null)
    if (reasons.length === 0) return
    const codes: Codes = {}
    for (const one of window) add(codes, one.codes)
    crossed = limitError(options, reasons[0] as string, batch, codes)
    throw crossed
  }
}

function limitError({ consumer, topic }: RejectLimitOptions, reason: string, batch: Judged, codes: Codes) {
  const total = Object.values(codes).reduce((sum, one) => sum + one, 0)
  const [code, most] = Object.entries(codes).sort((a, b) => b[1] - a[1])[0] ?? ['', 0]
  const worst = batch.slices.reduce((a, b) => (b.rejects > a.rejects ? b : a))
  const { partition, firstOffset, nextOffset } = worst
  const meaning = rejectCodes[code as keyof typeof rejectCodes] as string | undefined
  return new FatalError(
    'REJECT_LIMIT',
    `${reason}. ${count(most)} of ${count(total)} are '${code}'${meaning === undefined ? '' : ` (${meaning})`} ` +
      `Not stored, and next to be read: partition ${partition} of ${topic}, offsets ${firstOffset} to ${nextOffset - 1} with ${count(worst.rejects)} bad ones.`,
    `See those before them with \`millrace rejects list --consumer ${consumer} --by code\`, repair the producer or the decoder and start again; ` +
      'or raise MILLRACE_REJECT_PERCENT_MAX and MILLRACE_REJECT_RUN_MAX (0 is off) to have them stored as rejects.',
  )
}

function add(codes: Codes, more: Readonly<Codes>): void {
  for (const code in more) codes[code] = (codes[code] ?? 0) + (more[code] as number)
}

const redriven = (slice: Slice) => slice.redriven ?? 0
