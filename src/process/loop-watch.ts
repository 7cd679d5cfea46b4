/**
 * An event loop that is blocked for ever can say nothing and end nothing, for no timer of its own fires. A thread beside it sees that no beat comes
 * any more and ends the process, so that this is noticed also where nobody asks /healthz.
 */
import { Worker } from 'node:worker_threads'

const beatMs = 1000

export interface LoopWatchData {
  readonly beats: SharedArrayBuffer
  readonly beatMs: number
  readonly timeoutMs: number
}

/** Answers how to end the watch. */
export function watchLoop(timeoutMs: number): () => Promise<void> {
  const workerData: LoopWatchData = { beats: new SharedArrayBuffer(4), beatMs, timeoutMs }
  const beats = new Int32Array(workerData.beats)
  const beating = setInterval(() => Atomics.add(beats, 0, 1), beatMs).unref()
  const worker = new Worker(new URL('./loop-watch-worker.ts', import.meta.url), {
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 4 },
  })
  // Without it the process goes on, as it would without a watch: whoever asks /healthz still gets no answer.
  worker.on('error', () => {})
  worker.unref()
  return async () => {
    clearInterval(beating)
    await worker.terminate()
  }
}
