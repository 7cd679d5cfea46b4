/** decode/ by a Piscina pool of worker threads. Buffers are transferred both ways; the main thread only moves them. */
import { Piscina } from 'piscina'
import type { Decoded, Packed } from '../../core/batch.ts'
import type { Decode, DecodeLimits } from './port.ts'

export interface PiscinaOptions {
  readonly consumerUrl: string
  readonly limits: DecodeLimits
  readonly workers: number
  readonly now: () => number
  /** A worker died without a task to blame (say, out of memory): nothing to do but stop. */
  readonly onError: (error: Error) => void
}

export function openPiscina({
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
    decode(packed: Packed, signal: AbortSignal): Promise<Decoded> {
      return pool.run({ packed, nowMs: now() }, { transferList: [packed.buffer], signal })
    },
    close: () => pool.destroy(),
  }
}
