/**
 * The proof of one partition. At each offset it is judged whether what is there may be there, and whether anything is missing:
 *
 *   a record is one row, or one reject, or a producer's duplicate of an event stored elsewhere, or a counted skip
 *   a row has its record, the key and the content that its record makes, and, once published, one entry
 *   a reject has its record, an entry has its row
 */
import { eventId } from '../core/identity.ts'
import type { ConsumerDefinition } from '../define.ts'
import type { SourceRecord } from '../records/kafka-reader.ts'
import { type PlainEvent, readEvent, sameJson } from './event.ts'
import type { Findings } from './findings.ts'
import { collectMissing } from './missing.ts'
import type { EventKey, StoredRow } from './postgres-reader.ts'
import type { StreamInfo, StreamRead } from './redis-reader.ts'
import { judgeStreams } from './streams.ts'
import { type Place, type Sources, walk } from './walk.ts'

export interface PartitionClaim {
  readonly topic: string
  readonly partition: number
  /** Everything below is said to be stored. */
  readonly nextOffset: number
  /** Everything below is said to be published. */
  readonly publishedOffset: number
  /** What the ledger says was skipped. */
  readonly skipped: number
  /** What an operator left out: a record there may be nowhere. */
  readonly passedOver: readonly (readonly [from: number, to: number])[]
  /** Records the ledger has not reached are lost, not merely to come. */
  readonly toEnd: boolean
  /** Kafka compacts: a row may outlive its record. */
  readonly compacted: boolean
}

export interface PartitionTally {
  produced: number
  rows: number
  rejects: number
  duplicates: number
  skips: number
  /** Of the skips, those an operator decided. */
  passedOver: number
  entries: number
  awaited: number
  trimmed: number
  /** Records beyond the ledger. */
  behind: number
  /** Rows whose records Kafka dropped while this ran, or compacted away. */
  unchecked: number
  /** All rows and rejects found, for the ledger's counters. */
  readonly found: { rows: number; rejects: number }
}

export interface PartitionContext {
  readonly claim: PartitionClaim
  readonly sources: Sources
  /** Below it nothing is judged; moves up when Kafka drops records meanwhile. */
  readonly from: () => number
  readonly route: ConsumerDefinition['route'] | null
  readonly openStream: (family: string) => Promise<StreamRead>
  readonly infoOf: (key: string) => Promise<StreamInfo>
  readonly findRows: (keys: readonly EventKey[]) => Promise<ReadonlyMap<string, EventKey>>
  readonly findings: Findings
  readonly onRecord: () => void
}

export async function provePartition(context: PartitionContext): Promise<PartitionTally> {
  const { claim, sources, from, route, openStream, findings } = context
  const { topic, partition } = claim
  const where = (offset: number) => `${topic}/${partition}/${offset}`
  const missing = collectMissing(context.findRows)
  const entries = judgeStreams(findings)
  const streams = new Map(sources.streams.map((stream) => [stream.family, stream]))
  const tally: PartitionTally = {
    produced: 0,
    rows: 0,
    rejects: 0,
    duplicates: 0,
    skips: 0,
    passedOver: 0,
    entries: 0,
    awaited: 0,
    trimmed: 0,
    behind: 0,
    unchecked: 0,
    found: { rows: 0, rejects: 0 },
  }

  function visit(place: Place): undefined | Promise<void> {
    const { offset, record, rows, rejects } = place
    tally.found.rows += rows.length
    tally.found.rejects += rejects.length
    if (offset < from()) {
      tally.unchecked += rows.length
      return
    }
    if (offset >= claim.nextOffset) return beyond(place)
    if (record === null) {
      if (claim.compacted) tally.unchecked += rows.length
      else withoutRecord(place)
      return
    }
    tally.produced++
    context.onRecord()
    const event = readEvent(record.value, record.headers, record.timestampMs)
    if (rejects.length > 1) {
      findings.add(
        'duplicated',
        () => `record ${where(offset)} was rejected ${rejects.length} times`,
        rejects.length - 1,
      )
    }
    if (rows.length === 0) {
      if (place.entries.length > 0) {
        const why = rejects.length > 0 ? `record ${where(offset)} was rejected` : `record ${where(offset)} made none`
        entries.extra(offset, place.entries, why)
      }
      if (rejects.length > 0) {
        tally.rejects++
        return
      }
      if (claim.passedOver.some(([first, end]) => first <= offset && offset < end)) {
        tally.passedOver++
        return
      }
      return missing.add({ offset, key: event === null ? null : keyOf(event) })
    }
    tally.rows++
    if (rows.length > 1) {
      const ids = rows.map(({ id }) => id).join(', ')
      findings.add('duplicated', () => `record ${where(offset)} has ${rows.length} rows: ${ids}`, rows.length - 1)
    }
    if (rejects.length > 0) {
      findings.add('duplicated', () => `record ${where(offset)} is a row and a reject (${rejects[0]?.code})`)
    }
    if (event === null) {
      findings.add('wrong', () => `row of ${where(offset)}: its record is no CloudEvent`)
      return
    }
    for (const row of rows) judgeRow(row, record, event)
    if (route === null || route === undefined) return
    const family = route(event)
    const stream = streams.get(family)
    if (stream === undefined) return judgeEntryLater(place, record, event, family, rows[0]?.sample !== null)
    entries.row(record, event, stream, place.entries, isPublished(offset), rows[0]?.sample !== null)
  }

  const isPublished = (offset: number) => claim.toEnd || offset < claim.publishedOffset

  /** A family that no ledger row names yet: its stream joins the walk. What it holds at offsets already passed had no row of that family. */
  async function judgeEntryLater(
    place: Place,
    record: SourceRecord,
    event: PlainEvent,
    family: string,
    look: boolean,
  ): Promise<void> {
    const stream = await openStream(family)
    streams.set(family, stream)
    const found = [...place.entries]
    for (;;) {
      if (stream.feed.empty) await stream.feed.ready()
      const entry = stream.feed.head()
      if (entry === undefined || entry.offset > record.offset) break
      if (entry.offset === record.offset) found.push({ stream, entry })
      else entries.extra(entry.offset, [{ stream, entry }], 'no row of this family stands there')
      stream.feed.take()
    }
    sources.streams.push(stream)
    entries.row(record, event, stream, found, isPublished(record.offset), look)
  }

  function beyond({ offset, record, rows, rejects, entries: found }: Place): undefined {
    for (const { id } of rows) {
      findings.add(
        'wrong',
        () => `row ${id} of ${where(offset)} lies beyond the ledger, which ends at ${claim.nextOffset}`,
      )
    }
    for (const _ of rejects) {
      findings.add('wrong', () => `reject ${where(offset)} lies beyond the ledger, which ends at ${claim.nextOffset}`)
    }
    entries.extra(offset, found, `the ledger ends at ${claim.nextOffset}`)
    if (record === null) return
    tally.behind++
    tally.produced++
    context.onRecord()
    findings.add('lost', () => `record ${where(offset)} is not stored yet: the ledger ends at ${claim.nextOffset}`)
  }

  function withoutRecord({ offset, rows, rejects, entries: found }: Place): void {
    for (const { id } of rows) findings.add('duplicated', () => `row ${id}: Kafka has no record ${where(offset)}`)
    for (const _ of rejects) findings.add('duplicated', () => `reject ${where(offset)}: Kafka has no such record`)
    entries.extra(offset, found, `Kafka has no record ${where(offset)}`)
  }

  function judgeRow(row: StoredRow, { offset, timestampMs }: SourceRecord, event: PlainEvent): void {
    const wrong = (what: string) => findings.add('wrong', () => `row ${row.id} of ${where(offset)}: ${what}`)
    if (row.source !== event.source || row.eventId !== event.id) {
      wrong(`it says (${row.source}, ${row.eventId}), its record says (${event.source}, ${event.id})`)
      return
    }
    const id = eventId(event.timeMs, event.source, event.id)
    if (row.id !== id) wrong(`its event makes the key ${id}`)
    const { sample } = row
    if (sample === null) return
    if (!sample.idHolds) wrong('PostgreSQL computes another key')
    if (sample.eventMs !== event.timeMs) wrong('event_time is not the time of its event')
    if (sample.kafkaMs !== timestampMs) wrong('kafka_time is not the timestamp of its record')
    if (sample.type !== event.type) wrong(`type is '${sample.type}', not '${event.type}'`)
    if (sample.subject !== event.subject) wrong('subject differs from its record')
    if (sample.tenant !== event.tenant) wrong('tenant_id differs from its record')
    if (sample.dataBytes === null) {
      if (!sameJson(sample.data, event.data ?? null)) wrong('data differs from its record')
      else if (event.bytes !== null && event.data === undefined) wrong('data_bytes is missing')
    } else if (sample.data !== null || event.bytes?.equals(sample.dataBytes) !== true) {
      wrong('data_bytes differs from its record')
    }
    if (!sameJson(sample.extensions ?? {}, event.extensions)) wrong('extensions differ from its record')
  }

  await walk(partition, sources, visit, entries.foreign)
  await missing.flush()
  await entries.finish(context.infoOf)

  tally.duplicates = missing.duplicates
  const skips = Math.min(missing.unexplainedCount, claim.skipped)
  const lost = missing.unexplainedCount - skips
  tally.skips = skips + tally.passedOver
  // Which of them were skipped is not known where both occur; the last ones are as good as any.
  for (const { offset, key } of missing.unexplained.slice(0, lost)) {
    const what = key === null ? 'not a CloudEvent' : `event (${key.source}, ${key.eventId})`
    findings.add('lost', () => `record ${where(offset)}: ${what}, no row, no reject, no row of the same event`)
  }
  const untold = lost - Math.min(lost, missing.unexplained.length)
  if (untold > 0) findings.add('lost', () => `${untold} more records of ${topic}/${partition}`, untold)
  return Object.assign(tally, entries.counts)
}

function keyOf({ timeMs, source, id }: PlainEvent): EventKey {
  return { id: timeMs >= 0 && timeMs < 2 ** 48 ? eventId(timeMs, source, id) : nilId, source, eventId: id }
}

/** An event from before 1970 has no key; it can only be a reject. */
const nilId = '00000000-0000-0000-0000-000000000000'
