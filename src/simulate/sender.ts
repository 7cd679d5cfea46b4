/**
 * The main file of a sender process: simulates what its parent hands over, tells its figures about once a second, and ends with its parent.
 *
 *   parent: work ->    <- ready    begin ->    <- stats, stats, ...    (stop ->)    <- done or failed
 */
import { FatalError } from '../core/errors.ts'
import { kafkaConfig, kafkaFailure } from '../process/connect-kafka.ts'
import { simulate } from './kafka.ts'
import type { SenderMessage, SenderOrder } from './senders.ts'

const stop = new AbortController()
const beginning = Promise.withResolvers<number>()
const post = (message: SenderMessage) =>
  new Promise<void>((resolve) => process.send?.(message, undefined, {}, () => resolve()))

const orphaned = () => process.exit(1)
process.on('disconnect', orphaned)
process.on('message', (order: SenderOrder) => {
  if (order.type === 'begin') beginning.resolve(order.startedMs)
  else if (order.type === 'stop') stop.abort()
  else void work(order)
})

async function work({ settings, plan }: Extract<SenderOrder, { type: 'work' }>): Promise<void> {
  try {
    const stats = await simulate({
      ...plan,
      kafka: kafkaConfig(settings),
      signal: stop.signal,
      now: Date.now,
      explain: (error) => kafkaFailure(error, settings),
      onStats: (stats) => void post({ type: 'stats', stats }),
      begin() {
        void post({ type: 'ready' })
        return beginning.promise
      },
    })
    await post({ type: 'done', stats })
  } catch (error) {
    const { code, message, remedy } = error instanceof FatalError ? error : kafkaFailure(error, settings)
    await post({ type: 'failed', code, message, remedy })
  }
  process.off('disconnect', orphaned)
  process.disconnect()
}
