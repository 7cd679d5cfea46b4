/**
 * decode/ by a Piscina pool of worker threads. Buffers are transferred both ways; the main thread only moves them.
 *
 * A batch of a few records is decoded where it stands: the way to a worker and back costs the main thread as much as some 50 records do, and on
 * busy cores two wake-ups more.
 */
import { Piscina } from 'piscina'
import type { Decoded, Packed } from '../../core/batch.ts'
import type { ConsumerDefinition } from '../../define.ts'
import { decodeBatch } from './decode-batch.ts'
import { type Decode, type DecodeLimits, fewRecords } from './port.ts'

export interface PiscinaOptions {
  readonly definition: ConsumerDefinition
  /** The same consumer file, for the workers to load. */
  readonly consumerUrl: string
  readonly limits: DecodeLimits
  readonly workers: number
  readonly now: () => number
  /** A worker died without a task to blame (say, out of memory): nothing to do but stop. */
  readonly onError: (error: Error) => void
}

export function openPiscina({
  definition,
  consumerUrl,
  limits,
  workers,
  now,
  onError,
}: PiscinaOptions): Decode & { readonly queued: number } {
  const pool = new Piscina({
    filename: new URL('./worker.ts', import.meta.url).href,
    workerData: { consumerUrl, limits },
    minThreads: workers,
    maxThreads: workers,
    idleTimeout: Number.POSITIVE_INFINITY,
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  })
  pool.on('error', onError)
  return {
    get queued() {
      return pool.queueSize
    },
    async decode(packed: Packed, signal: AbortSignal): Promise<Decoded> {
      signal.throwIfAborted()
      if (packed.records <= fewRecords) return decodeBatch(definition, limits, packed, now())
      try {
        return await pool.run({ packed, nowMs: now() }, { transferList: [packed.buffer], signal })
      } catch (error) {
        // Piscina has a word of its own for it; whoever aborted said why.
        signal.throwIfAborted()
        throw error
      }
    },
    close: () => pool.destroy(),
  }
}
