/** The thread that startLoad() starts: simulates until told to stop, tells its figures about once a second. */
import { parentPort, workerData } from 'node:worker_threads'
import { FatalError } from '../core/errors.ts'
import { kafkaConfig, kafkaFailure } from '../process/connect-kafka.ts'
import { simulate } from '../simulate/kafka.ts'
import type { LoadMessage, LoadOptions } from './load.ts'

const { settings, forMs, ...options } = workerData as LoadOptions
const stop = new AbortController()
const port = parentPort!
const post = (message: LoadMessage) => port.postMessage(message)
port.once('message', () => stop.abort())

try {
  const stats = await simulate({
    ...options,
    ...(forMs !== null && { forMs }),
    kafka: kafkaConfig(settings),
    signal: stop.signal,
    now: Date.now,
    explain: (error) => kafkaFailure(error, settings),
    onStats: (stats) => post({ type: 'stats', stats }),
  })
  post({ type: 'done', stats })
} catch (error) {
  const { code, message, remedy } = error instanceof FatalError ? error : kafkaFailure(error, settings)
  post({ type: 'failed', code, message, remedy })
}
port.close()
