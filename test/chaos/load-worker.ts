/** The thread that startLoad() starts: simulates until told to stop, and tells of every answer. */
import { parentPort, workerData } from 'node:worker_threads'
import { FatalError } from '../../src/core/errors.ts'
import { simulate } from '../../src/simulate/kafka.ts'
import { answerOf } from './account.ts'
import type { ChaosLoadOptions, LoadMessage } from './load.ts'

const { brokers, ...options } = workerData as ChaosLoadOptions
const stop = new AbortController()
const port = parentPort!
const post = (message: LoadMessage) => port.postMessage(message)
port.once('message', () => stop.abort())

const stats = await simulate({
  ...options,
  // Patient enough for the loss of a leader; what outlasts it costs the records of a request, which the account then knows as uncertain.
  kafka: {
    brokers: [...brokers],
    logLevel: 0,
    requestTimeout: 10_000,
    retry: { initialRetryTime: 100, retries: 20, maxRetryTime: 1000 },
  },
  signal: stop.signal,
  now: Date.now,
  explain: (error) => new FatalError('KAFKA_UNREACHABLE', String(error), '', error),
  onStats: (stats) => post({ type: 'stats', stats }),
  onAnswer: (records, acknowledged) => post({ type: 'answer', answer: answerOf(records, acknowledged) }),
})
post({ type: 'done', stats })
port.close()
