/** The worker's side of decode/: loads the consumer file once, then turns packed batches into decoded ones and transfers every buffer. */
import { workerData } from 'node:worker_threads'
import { move, transferableSymbol, valueSymbol } from 'piscina'
import type { Decoded, Packed } from '../../core/batch.ts'
import type { ConsumerDefinition } from '../../define.ts'
import { decodeBatch } from './decode-batch.ts'
import type { DecodeLimits } from './port.ts'

const { consumerUrl, limits } = workerData as { consumerUrl: string; limits: DecodeLimits }
const { default: definition } = (await import(consumerUrl)) as { default: ConsumerDefinition }

export default function work({ packed, nowMs }: { packed: Packed; nowMs: number }) {
  const decoded = decodeBatch(definition, limits, packed, nowMs)
  return move({
    get [transferableSymbol]() {
      return buffersOf(decoded) as never
    },
    get [valueSymbol]() {
      return decoded
    },
  })
}

function buffersOf({ rows, copies, rejects, entryBytes, tally }: Decoded): ArrayBuffer[] {
  const views: ArrayBufferView[] = [
    rows.ids,
    rows.slice,
    rows.offset,
    rows.family,
    rows.entryStart,
    rows.entryEnd,
    rows.timestampMs,
    rows.eventMs,
    ...copies.map((copy) => copy.bytes),
  ]
  if (tally !== null) views.push(tally.kindOf, tally.valueBytes)
  if (rejects.count > 0) views.push(rejects.bytes)
  if (entryBytes.length > 0) views.push(entryBytes)
  return views.map((view) => view.buffer as ArrayBuffer)
}
