/** The business-support system's events: one row each in cloud_events, one entry each in the stream of its domain. */
import { cloudEvent } from '../src/decoders/cloud-event.ts'
import { defineConsumer } from '../src/define.ts'

/** com.bss.payment.failed: what happened to which domain. */
const verbs: Readonly<Record<string, readonly string[]>> = {
  customer: ['registered', 'updated', 'verified'],
  order: ['created', 'updated', 'fulfilled', 'cancelled'],
  payment: ['authorized', 'captured', 'failed', 'refunded'],
  invoice: ['issued', 'paid', 'overdue', 'disputed'],
  subscription: ['activated', 'renewed', 'upgraded', 'cancelled'],
  usage: ['recorded', 'rated', 'threshold-reached'],
}
const domains = Object.keys(verbs)
const families = new Map(domains.map((domain) => [domain, `events:${domain}`]))
const types = domains.flatMap((domain) => (verbs[domain] ?? []).map((verb) => `com.bss.${domain}.${verb}`))

const domainOf = (type: string) => type.split('.')[2] ?? ''
const verbOf = (domain: string) => (type: string) => (domainOf(type) === domain ? (type.split('.')[3] ?? '') : null)
const familyOf = new Map(types.map((type) => [type, families.get(domainOf(type))]))
const states = (domain: string) => ({ label: 'state', values: verbs[domain] ?? [], of: verbOf(domain) })
/** What somebody has to look at: a payment that failed, an invoice in dispute. */
const errorOf = (type: string) => (/\.(failed|disputed)$/.test(type) ? domainOf(type) : null)

export default defineConsumer({
  topic: 'cloud-events',
  table: 'cloud_events',
  decoder: cloudEvent,
  // com.bss.payment.failed goes to events:payment, anything else to events:cloud.
  route: ({ type }) => familyOf.get(type) ?? families.get(domainOf(type)) ?? 'events:cloud',
  families: ['events:cloud', ...families.values()],
  metrics: [
    { name: 'bss_events_total', help: 'Events stored.' },
    {
      name: 'bss_events_by_type_total',
      help: 'Events stored, by type.',
      label: 'type',
      values: types,
      of: (type) => type,
    },
    {
      name: 'bss_events_by_component_total',
      help: 'Events stored, by the part of the system they are about.',
      label: 'component',
      values: domains,
      of: domainOf,
    },
    { name: 'bss_orders_total', help: 'Events of orders, by what happened.', ...states('order') },
    { name: 'bss_payments_total', help: 'Events of payments, by what happened.', ...states('payment') },
    { name: 'bss_invoices_total', help: 'Events of invoices, by what happened.', ...states('invoice') },
    {
      name: 'bss_errors_total',
      help: 'Events that tell of a failure or a dispute, by the part of the system they are about.',
      label: 'component',
      values: domains,
      of: errorOf,
    },
    {
      name: 'bss_event_processing_duration_seconds',
      help: "From taking an event in from Kafka to the COMMIT of its row; the events that came in one answer count from the first one's.",
      measure: 'processing_seconds',
    },
    {
      name: 'bss_current_event_rate',
      help: 'Events stored a second, over the last ten seconds.',
      measure: 'events_per_second',
    },
    {
      name: 'bss_event_size_bytes',
      help: "Bytes of an event's record value.",
      measure: 'event_bytes',
    },
  ],
})
