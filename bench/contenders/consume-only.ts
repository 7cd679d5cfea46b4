/** node bench/contenders/consume-only.ts <broker> <group>: consumes the topic with kafkajs and does nothing with it; tells its parent how many and how long. */
import kafkajs from 'kafkajs'
import { registerCodecs } from '../../src/flow/consume/codecs.ts'
import { mendKafkajs } from '../../src/flow/consume/kafkajs-mend.ts'

const [broker = '', group = ''] = process.argv.slice(2)
mendKafkajs()
registerCodecs()
const consumer = new kafkajs.Kafka({ brokers: [broker], logLevel: kafkajs.logLevel.ERROR }).consumer({
  groupId: group,
  maxBytesPerPartition: 1024 * 1024,
})
let records = 0
let from = 0
await consumer.connect()
await consumer.subscribe({ topic: 'cloud-events', fromBeginning: true })
await consumer.run({
  partitionsConsumedConcurrently: 4,
  eachBatch: async ({ batch }) => {
    from ||= performance.now()
    records += batch.messages.length
    process.send?.({ records, seconds: (performance.now() - from) / 1000 })
  },
})
process.once('SIGTERM', async () => {
  await consumer.disconnect()
  process.exit(0)
})
