/**
 * Which records of a batch their producers follow, found where the bytes are. The Kafka header `traceparent` counts, and without a good one the
 * CloudEvents extension of that name. Nothing here can fail a record: what is malformed is left out.
 *
 * An event that came with the header alone is given the extension in its entry, so that a stream's reader can go on with the trace. It carries the
 * producer's own context: the extension is about where an event was made, not about who handed it on last.
 */
import type { ByteWriter } from '../../core/bytes.ts'
import type { EventView } from '../../core/event.ts'
import { RecordFormatError, type RecordView } from '../../core/record.ts'
import { readParent, readState, type TraceContext, traceparentOf } from '../../core/trace-context.ts'

export interface FoundContext extends TraceContext {
  /** It came beside the event: what goes on without Kafka's headers lacks it. */
  readonly beside: boolean
}

/** Of a record that its decoder has just read; null: nobody follows it. */
export function contextOf(record: RecordView, event: EventView): FoundContext | null {
  const found = inHeaders(record) ?? inExtensions(event.extensions)
  return found === 'unsampled' ? null : found
}

type Found = FoundContext | 'unsampled' | null

function inHeaders(record: RecordView): Found {
  try {
    if (!record.header('traceparent')) return null
    const parent = readParent(record.bytes, record.headerStart, record.headerEnd)
    if (parent === null || parent === 'unsampled') return parent
    const state = record.header('tracestate') ? readState(record.bytes, record.headerStart, record.headerEnd) : null
    return { ...parent, state, beside: true }
  } catch (error) {
    if (error instanceof RecordFormatError) return null
    throw error
  }
}

/** Extensions are JSON as the decoders write it, without white space: a quotation mark within a string has a backslash before it. */
function inExtensions(extensions: Buffer | null): Found {
  const text = extensions === null ? null : textOf(extensions, parentMember)
  const parent = text === null ? null : readParent(text, 0, text.length)
  if (parent === null || parent === 'unsampled') return parent
  const given = textOf(extensions as Buffer, stateMember)
  const state = given === null || given.includes('\\') ? null : readState(given, 0, given.length)
  return { ...parent, state, beside: false }
}

const parentMember = Buffer.from('"traceparent":"')
const stateMember = Buffer.from('"tracestate":"')

function textOf(extensions: Buffer, member: Buffer): Buffer | null {
  const at = extensions.indexOf(member)
  if (at < 0) return null
  const start = at + member.length
  return extensions.subarray(start, extensions.indexOf('"', start))
}

/** Gives the event in JSON that was written from `start` on the context that came beside it; it stays as it is where it has one of its own. */
export function addContext(entries: ByteWriter, start: number, context: TraceContext): void {
  const event = entries.take(start)
  const { state } = context
  const members = hasOwnContext(event)
    ? ''
    : `"traceparent":"${traceparentOf(context)}",${state === null ? '' : `"tracestate":${JSON.stringify(state)},`}`
  // Never an empty object: an event has an id.
  const inside = event.indexOf('{') + 1
  entries.write(event, 0, inside)
  entries.write(Buffer.from(members, 'latin1'), 0, members.length)
  entries.write(event, inside, event.length)
}

/** Also one that says null: no member may be there twice. */
function hasOwnContext(event: Buffer): boolean {
  if (!event.includes('"trace')) return false
  const members = JSON.parse(event.toString('utf8')) as object
  return Object.hasOwn(members, 'traceparent') || Object.hasOwn(members, 'tracestate')
}
