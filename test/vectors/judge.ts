/** One record through the real decode/, and what became of it: for vectors, for the fuzzer, for whoever wants to know. */
import type { EventView } from '../../src/core/event.ts'
import { type HeaderValue, type RecordView, runOf } from '../../src/core/record.ts'
import { cloudEvent } from '../../src/decoders/cloud-event.ts'
import type { Decoder } from '../../src/define.ts'
import { decodeBatch } from '../../src/flow/decode/decode-batch.ts'
import type { DecodeLimits } from '../../src/flow/decode/port.ts'
import { type CopiedReject, type CopiedRow, readCopy, readReject, readRow } from '../../src/flow/persist/read-copy.ts'
import { definition, limits, nowMs, pack, record } from '../flow/batches.ts'

export interface Given {
  readonly value: Buffer | string | null
  readonly headers?: Readonly<Record<string, HeaderValue>>
  readonly key?: Buffer | null
  readonly timestamp?: string
}

export interface Judged {
  readonly code: string | null
  readonly reject: CopiedReject | null
  readonly row: CopiedRow | null
  /** The entry of the stream, as JSON text. */
  readonly entry: string | null
  readonly unlabelled: number
}

export function judge(
  { value, headers = {}, key = null, timestamp = String(nowMs) }: Given,
  decoder: Decoder = cloudEvent,
  over: Partial<DecodeLimits> = {},
): Judged {
  const bytes = value === null ? null : Buffer.from(value as string)
  // Between two others, so that a look beyond its ends would show, and so would anything left over from the record before.
  const around = {
    key: Buffer.from('"}'),
    headers: { 'content-type': 'application/cloudevents', 'millrace-attempts': '9' },
  }
  const records = [
    record(1, { id: 'before', data: 'a' }, around),
    record(2, bytes, { headers, key, timestamp }),
    record(3, { id: 'after' }, around),
  ]
  const runs = [runOf(records)]
  const batch = decodeBatch(
    { ...definition, decoder: only(decoder) },
    { ...limits, ...over },
    pack({ partition: 0, runs }),
    nowMs,
  )
  const rows = batch.copies.flatMap(({ day, bytes }) => readCopy(bytes).map((fields) => readRow(fields, day)))
  const rejects = batch.rejects.count === 0 ? [] : readCopy(batch.rejects.bytes).map(readReject)
  const at = [...batch.rows.offset.subarray(0, batch.rows.count)].indexOf(2)
  const reject = rejects.find(({ offset }) => offset === 2) ?? null
  const row = rows.find(({ offset }) => offset === 2) ?? null
  if (batch.records !== 3 || batch.rows.count + rejects.length !== 3 || (row === null) === (reject === null)) {
    throw new Error('a record is exactly one row or one reject')
  }
  // Nothing of the record before, or of the one on trial, may be left over.
  const after = rows.find(({ offset }) => offset === 3)
  if (
    after?.data !== '{"id":"after"}' ||
    after.dataBytes !== null ||
    after.extensions !== null ||
    after.subject !== null
  ) {
    throw new Error(`the record after it became ${JSON.stringify(after)}`)
  }
  return {
    code: reject?.code ?? null,
    reject,
    row,
    entry:
      at < 0
        ? null
        : Buffer.from(batch.entryBytes).toString('utf8', batch.rows.entryStart[at], batch.rows.entryEnd[at]),
    unlabelled: batch.unlabelled,
  }
}

/** The neighbours are good whatever the rules of the decoder on trial. */
const only = (decoder: Decoder): Decoder => ({
  name: decoder.name,
  decode: (view: RecordView, event: EventView) => (view.offset === 2 ? decoder : cloudEvent).decode(view, event),
})
