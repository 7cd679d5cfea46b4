/** kafkajs alone, and kafkajs as a good engineer would use it in an afternoon. Both are scripts of their own, so that they have a process to themselves. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild } from './child.ts'
import type { Contender } from './contender.ts'

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url))
let group = 0

export const afternoon = (publishes: boolean): Contender => ({
  name: publishes ? 'afternoon-both' : 'afternoon',
  title: publishes ? 'kafkajs, INSERT ON CONFLICT and XADD' : 'kafkajs, INSERT ON CONFLICT',
  stores: true,
  publishes,
  async start({ stack, logs }) {
    const words = [
      process.execPath,
      script('afternoon.ts'),
      stack.kafka,
      `afternoon-${++group}`,
      stack.postgres,
    ] as const
    return startChild([...words, publishes ? stack.redis : 'off'], join(logs, 'afternoon.log'))
  },
})

export const consumeOnly: Contender = {
  name: 'consume',
  title: 'kafkajs, consuming only',
  stores: false,
  publishes: false,
  async start({ stack, logs }) {
    const words = [process.execPath, script('consume-only.ts'), stack.kafka, `consume-${++group}`] as const
    const child = startChild([...words], join(logs, 'consume-only.log'), { channel: true })
    return Object.assign(child, {
      took: () => (child.told() as { records: number; seconds: number } | undefined) ?? null,
    })
  },
}
