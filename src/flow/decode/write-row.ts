/** One event as a row of the COPY. The columns, in the order of the table. */
import type { CopyWriter } from '../../core/copy.ts'
import { type EventView, ID, SOURCE, SUBJECT, TENANT, TYPE } from '../../core/event.ts'
import type { RecordView } from '../../core/record.ts'

export function writeRow(
  copy: CopyWriter,
  event: EventView,
  record: RecordView,
  ids: Uint8Array,
  idAt: number,
  topic: Buffer,
  partition: number,
): void {
  const { bytes, at, own, extensions } = event
  let size =
    64 + topic.length + (event.dataEnd - event.dataStart) + (extensions?.length ?? 0) + (event.dataBytes?.length ?? 0)
  for (let column = SOURCE; column <= TENANT; column++) {
    size += (own[column]?.length ?? 0) + (at[column * 2 + 1] as number) - (at[column * 2] as number)
  }
  copy.row(14, size)
  copy.bytes(ids, idAt, idAt + 16)
  copy.timestamp(event.timeMicros)
  writeText(copy, event, SOURCE)
  writeText(copy, event, ID)
  writeText(copy, event, TYPE)
  writeText(copy, event, SUBJECT)
  writeText(copy, event, TENANT)
  if (event.dataStart < 0) copy.null()
  else copy.jsonb(bytes, event.dataStart, event.dataEnd)
  if (extensions === null) copy.null()
  else copy.jsonb(extensions, 0, extensions.length)
  copy.bytes(topic, 0, topic.length)
  copy.int32(partition)
  copy.int64(record.offset)
  copy.timestamp(storable(record.timestampMs) * 1000)
  if (event.dataBytes === null) copy.null()
  else copy.bytes(event.dataBytes, 0, event.dataBytes.length)
}

/** A producer may write any 64 bits as a record's time; a time beyond PostgreSQL's would abort the whole COPY. */
export const storable = (timestampMs: number) => Math.min(Math.max(timestampMs, year1Ms), year9999Ms)
const year1Ms = -62_135_596_800_000
const year9999Ms = 253_402_300_799_999

function writeText(copy: CopyWriter, event: EventView, column: number): void {
  const own = event.own[column]
  if (own !== null && own !== undefined) copy.bytes(own, 0, own.length)
  else {
    const start = event.at[column * 2] as number
    if (start === -1) copy.null()
    else copy.bytes(event.bytes, start, event.at[column * 2 + 1] as number)
  }
}
