/** The business-support system's events: one row each in cloud_events, one entry each in the stream of its domain. */
import { cloudEvent } from '../src/decoders/cloud-event.ts'
import { defineConsumer } from '../src/define.ts'

const domains = ['customer', 'order', 'payment', 'invoice', 'subscription', 'usage']
const families = new Map(domains.map((domain) => [domain, `events:${domain}`]))

export default defineConsumer({
  topic: 'cloud-events',
  table: 'cloud_events',
  decoder: cloudEvent,
  // com.bss.payment.failed goes to events:payment, anything else to events:cloud.
  route: ({ type }) => families.get(type.split('.')[2] ?? '') ?? 'events:cloud',
  families: ['events:cloud', ...families.values()],
})
