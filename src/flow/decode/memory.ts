/** decode/ on the caller's own thread: for simulations, where a worker's timing would not be ours to decide. */
import type { ConsumerDefinition } from '../../define.ts'
import { decodeBatch } from './decode-batch.ts'
import type { Decode, DecodeLimits } from './port.ts'

export function openMemoryDecode(definition: ConsumerDefinition, limits: DecodeLimits, now: () => number): Decode {
  return {
    async decode(packed, signal) {
      signal.throwIfAborted()
      return decodeBatch(definition, limits, packed, now())
    },
    async close() {},
  }
}
