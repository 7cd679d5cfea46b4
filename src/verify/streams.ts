/**
 * The entries of one partition: every published row has exactly one, in the stream of its family, under the id its offset makes, carrying its event.
 * Entries that a stream has trimmed from its head are told apart from lost ones by what XINFO says.
 */

import type { SourceRecord } from '../records/kafka-reader.ts'
import { type PlainEvent, readEvent, sameData } from './event.ts'
import type { Findings } from './findings.ts'
import type { StreamEntry, StreamInfo, StreamRead } from './redis-reader.ts'

export interface EntryCounts {
  entries: number
  /** Rows that the fleet does not claim to have published yet. */
  awaited: number
  /** Entries gone from the head of a stream by trimming. */
  trimmed: number
}

export interface StreamJudge {
  readonly counts: EntryCounts
  /** A row that stands at this offset and goes to this stream, and the entries found at the same offset. */
  row(
    record: SourceRecord,
    event: PlainEvent,
    stream: StreamRead,
    found: Found,
    published: boolean,
    look: boolean,
  ): void
  /** Entries where no row is. */
  extra(offset: number, found: Found, why: string): void
  foreign(stream: StreamRead, entry: StreamEntry): void
  /** Tells trimmed from lost; asks again about streams that may have been trimmed while they were read. */
  finish(infoOf: (key: string) => Promise<StreamInfo>): Promise<void>
}

type Found = readonly { readonly stream: StreamRead; readonly entry: StreamEntry }[]

const envelopeHeaders = { 'content-type': 'application/cloudevents+json' }

export function judgeStreams(findings: Findings): StreamJudge {
  const counts: EntryCounts = { entries: 0, awaited: 0, trimmed: 0 }
  const missing = new Map<StreamRead, number[]>()

  function content(record: SourceRecord, event: PlainEvent, stream: StreamRead, entry: StreamEntry, look: boolean) {
    const name = () => `entry ${entry.id} of ${stream.key}`
    if (entry.event === null) {
      findings.add('wrong', () => `${name()} does not have the one field 'event'`)
      return
    }
    // In structured mode the entry is the producer's own bytes: nothing needs to be parsed.
    if (record.value !== null && entry.event.equals(record.value)) return
    const said = readEvent(entry.event, envelopeHeaders, record.timestampMs)
    if (said === null) findings.add('wrong', () => `${name()} is no CloudEvent`)
    else if (said.source !== event.source || said.id !== event.id) {
      findings.add(
        'outOfOrder',
        () => `${name()} carries (${said.source}, ${said.id}), but its place is that of (${event.source}, ${event.id})`,
      )
    } else if (look && (said.type !== event.type || !sameData(said, event))) {
      findings.add('wrong', () => `${name()} says something else than its record`)
    }
  }

  return {
    counts,
    row(record, event, stream, found, published, look) {
      let own = false
      for (const one of found) {
        if (one.stream === stream) {
          own = true
          counts.entries++
          content(record, event, stream, one.entry, look)
        } else {
          findings.add('duplicated', () => `entry ${one.entry.id} of ${one.stream.key}: its row goes to ${stream.key}`)
        }
      }
      if (own) return
      if (!published) {
        counts.awaited++
        return
      }
      const offsets = missing.get(stream)
      if (offsets === undefined) missing.set(stream, [record.offset])
      else offsets.push(record.offset)
    },
    extra(_offset, found, why) {
      for (const { stream, entry } of found) {
        findings.add('duplicated', () => `entry ${entry.id} of ${stream.key} has no row: ${why}`)
      }
    },
    foreign(stream, entry) {
      findings.add('duplicated', () => `entry ${entry.id} of ${stream.key} bears an id that no offset makes`)
    },
    async finish(infoOf) {
      for (const [stream, offsets] of missing) {
        // Trimmed before it was read, or between two chunks: either way the head now lies beyond.
        const now = await infoOf(stream.key)
        let gone = now.gone
        for (const offset of offsets) {
          if (gone-- > 0 && offset < now.firstOffset && offset !== now.deletedOffset) counts.trimmed++
          else findings.add('lost', () => `row ${offset} has no entry ${offset + 1}-0 in ${stream.key}`)
        }
      }
    },
  }
}
