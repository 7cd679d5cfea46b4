/** The business-support system's events: one row each in cloud_events, one entry each in the stream of its domain. */
import { cloudEvent } from '../src/decoders/cloud-event.ts'
import { defineConsumer } from '../src/define.ts'

const domains = new Set(['customer', 'order', 'payment', 'invoice', 'subscription', 'usage'])

export default defineConsumer({
  topic: 'cloud-events',
  table: 'cloud_events',
  decoder: cloudEvent,
  // com.bss.payment.failed goes to events:payment, anything else to events:cloud.
  route({ type }) {
    const domain = type.split('.')[2]
    return domain !== undefined && domains.has(domain) ? `events:${domain}` : 'events:cloud'
  },
})
