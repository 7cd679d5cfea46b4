/** decode/: packed records in, COPY bytes, rejects and stream entries out. Order and grouping stay as they came in. */
import type { Decoded, Packed } from '../../core/batch.ts'

/** So many are decoded in less than half a millisecond: not worth a worker, nor beginning early. */
export const fewRecords = 64

export interface Decode {
  /** Takes over `packed.buffer`. Rejects with the signal's reason when aborted. */
  decode(packed: Packed, signal: AbortSignal): Promise<Decoded>
  close(): Promise<void>
}

/** What a worker needs besides the consumer file; plain data, since it crosses a thread. */
export interface DecodeLimits {
  readonly consumer: string
  readonly eventPastMsMax: number
  readonly eventFutureMsMax: number
  readonly valueBytesMax: number
  /** Followed records told of per batch at most; 0: traces are off, and none is looked for. */
  readonly tracedMax: number
}
