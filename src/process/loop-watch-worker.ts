/** The thread beside the event loop: counts its own ticks and not the time, so that a machine or a process that slept is not blamed for it. */
import { writeSync } from 'node:fs'
import { workerData } from 'node:worker_threads'
import type { LoopWatchData } from './loop-watch.ts'

const { beats, beatMs, timeoutMs } = workerData as LoopWatchData
const view = new Int32Array(beats)
let seen = 0
let stillMs = 0

setInterval(() => {
  const beat = Atomics.load(view, 0)
  stillMs = beat === seen ? stillMs + beatMs : 0
  seen = beat
  if (stillMs <= timeoutMs) return
  // The streams of this process are the blocked thread's; the file descriptor is anybody's.
  const what = `the event loop has not turned for ${stillMs / 1000} s`
  writeSync(
    2,
    `millrace: NO_PROGRESS: ${what}. The supervisor starts the process anew; the log says what came before.\n`,
  )
  process.kill(process.pid, 'SIGKILL')
}, beatMs)
