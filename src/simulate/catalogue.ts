/**
 * What the simulated business-support system talks about: 22 event types of six domains, how often each occurs, and plausible data for each.
 * Data is put together from fragments made once per seed, so that an event costs a few numbers and one string, not a walk over objects.
 */
import type { Random } from './random.ts'

export const domains = ['customer', 'order', 'payment', 'invoice', 'subscription', 'usage'] as const
export type Domain = (typeof domains)[number]

/** Pieces of JSON text that recur; which ones is the seed's choice. */
export interface Fragments {
  readonly person: readonly string[]
  readonly address: readonly string[]
  readonly line: readonly string[]
  readonly plan: readonly string[]
  readonly card: readonly string[]
  readonly meter: readonly string[]
}

/** Everything a data builder may look at; `iso` is the event's own time. */
export interface Scene {
  readonly random: Random
  readonly fragments: Fragments
  readonly subject: string
  readonly customer: string
  readonly iso: string
}

export interface EventType {
  readonly type: string
  readonly domain: Domain
  /** How often, relative to the others. */
  readonly weight: number
  readonly data: (scene: Scene) => string
}

const given = [
  'Ana',
  'Ben',
  'Chloé',
  'Dmitri',
  'Elif',
  'Farah',
  'Göran',
  'Hana',
  'Ivo',
  'Jürgen',
  'Kwame',
  'Lucía',
  'Mei',
  '美咲',
]
const family = [
  'Adeyemi',
  'Brandt',
  'Costa',
  'Dvořák',
  'Evans',
  'Fischer',
  'García',
  'Hughes',
  'Ito',
  'Jansen',
  'Kaya',
  'Smith',
]
const streets = [
  'Station Road',
  'High Street',
  'Rue de la Gare',
  'Hauptstraße',
  'Calle Mayor',
  'Market Square',
  'Harbour View',
]
const cities = ['Leeds', 'Porto', 'Lyon', 'Graz', 'Utrecht', 'Málaga', 'Tartu', 'Cork', 'Aarhus', 'Kraków']
const countries = ['GB', 'PT', 'FR', 'AT', 'NL', 'ES', 'EE', 'IE', 'DK', 'PL']
const products = [
  'FIBRE-500',
  'FIBRE-1000',
  'MOBILE-20G',
  'MOBILE-UNL',
  'TV-BASIC',
  'TV-SPORT',
  'ROUTER-AX',
  'SIM-ESIM',
  'ROAM-EU',
]
const plans = ['basic', 'plus', 'family', 'business', 'unlimited']
const meters = ['data-mb', 'voice-s', 'sms', 'roaming-mb', 'api-calls']
const networks = ['5g', 'lte', '3g', 'wifi', 'fixed']
const currencies = ['EUR', 'EUR', 'EUR', 'GBP', 'USD', 'DKK']
const channels = ['web', 'app', 'shop', 'partner', 'phone']
const brands = ['visa', 'mastercard', 'amex', 'sepa']

const pick = <T>(random: Random, from: readonly T[]): T => from[random.below(from.length)] as T
const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make)

/** Money as people write it, with two decimals: `1234` is `12.34`. */
function money(cents: number): string {
  const rest = cents % 100
  return `${(cents - rest) / 100}.${rest < 10 ? '0' : ''}${rest}`
}

export function createFragments(random: Random): Fragments {
  const name = () => ({ first: pick(random, given), last: pick(random, family) })
  return {
    person: times(512, () => {
      const { first, last } = name()
      const mail = `${last}${random.below(1000)}`
        .toLowerCase()
        .normalize('NFD')
        .replace(/[^a-z0-9]/g, '')
      return `"name":"${first} ${last}","email":"${mail}@example.com","language":"${pick(random, countries).toLowerCase()}"`
    }),
    address: times(512, () => {
      const place = random.below(cities.length)
      const street = `${pick(random, streets)} ${1 + random.below(180)}`
      return `{"street":"${street}","postcode":"${10_000 + random.below(89_999)}","city":"${cities[place]}","country":"${countries[place]}"}`
    }),
    line: times(512, () => {
      const quantity = 1 + random.skewed(5)
      return `{"sku":"${pick(random, products)}","quantity":${quantity},"unitPrice":${money(490 + random.below(12_000))}}`
    }),
    plan: times(
      64,
      () =>
        `"plan":"${pick(random, plans)}","term":"P${pick(random, [1, 12, 24])}M","autoRenew":${random.below(5) > 0}`,
    ),
    card: times(128, () => `"method":{"brand":"${pick(random, brands)}","last4":"${1000 + random.below(9000)}"}`),
    meter: times(
      64,
      () =>
        `"meter":"${pick(random, meters)}","network":"${pick(random, networks)}","roaming":${random.below(9) === 0},"cell":"${pick(random, countries)}-${100 + random.below(900)}"`,
    ),
  }
}

const amount = (random: Random, centsMax: number) =>
  `"amount":${money(100 + random.skewed(centsMax))},"currency":"${pick(random, currencies)}"`

const order = (status: string) => (scene: Scene) => {
  const { random, fragments, subject, customer } = scene
  let lines = pick(random, fragments.line)
  for (let more = random.skewed(3); more > 0; more--) lines += `,${pick(random, fragments.line)}`
  return `{"orderId":"${subject}","customerId":"${customer}","status":"${status}","channel":"${pick(random, channels)}",${amount(random, 40_000)},"lines":[${lines}]}`
}

const payment = (status: string, extra: (scene: Scene) => string) => (scene: Scene) => {
  const { random, fragments, subject, customer } = scene
  return `{"paymentId":"${subject}","customerId":"${customer}","status":"${status}",${amount(random, 40_000)},${pick(random, fragments.card)},"attempt":${1 + random.skewed(3)}${extra(scene)}}`
}

const invoice = (status: string) => (scene: Scene) => {
  const { random, subject, customer, iso } = scene
  const net = 500 + random.skewed(60_000)
  const tax = Math.round(net * 0.2)
  return `{"invoiceId":"${subject}","customerId":"${customer}","status":"${status}","period":"${iso.slice(0, 7)}","net":${money(net)},"tax":${money(tax)},"total":${money(net + tax)},"currency":"${pick(random, currencies)}","pages":${1 + random.skewed(9)}}`
}

const subscription = (change: string) => (scene: Scene) => {
  const { random, fragments, subject, customer, iso } = scene
  return `{"subscriptionId":"${subject}","customerId":"${customer}","change":"${change}",${pick(random, fragments.plan)},"price":${money(490 + random.below(9000))},"currency":"${pick(random, currencies)}","effectiveFrom":"${iso.slice(0, 10)}","reason":null}`
}

const customer = (change: string) => (scene: Scene) => {
  const { random, fragments, subject } = scene
  return `{"customerId":"${subject}","change":"${change}",${pick(random, fragments.person)},"address":${pick(random, fragments.address)},"segment":"${pick(random, plans)}","marketing":${random.below(2) === 1}}`
}

const usageRecorded = ({ random, fragments, subject, customer: who, iso }: Scene) =>
  `{"subscriptionId":"${subject}","customerId":"${who}",${pick(random, fragments.meter)},"quantity":${1 + random.skewed(50_000)},"startedAt":"${iso.slice(0, 17)}00Z","durationMs":${random.skewed(600_000)},"session":"${random.bits().toString(36)}"}`

const usageRated = ({ random, fragments, subject, customer: who }: Scene) =>
  `{"subscriptionId":"${subject}","customerId":"${who}",${pick(random, fragments.meter)},"quantity":${1 + random.skewed(50_000)},${amount(random, 900)},"tariff":"T${100 + random.below(60)}","withinAllowance":${random.below(8) > 0}}`

const usageThreshold = ({ random, fragments, subject, customer: who }: Scene) =>
  `{"subscriptionId":"${subject}","customerId":"${who}",${pick(random, fragments.meter)},"thresholdPercent":${pick(random, [50, 80, 100])},"notified":["sms","email"],"remaining":${random.below(5000)}}`

const nothing = () => ''
const failure = ({ random }: Scene) =>
  `,"failure":{"code":"${pick(random, ['insufficient_funds', 'card_expired', 'do_not_honour', '3ds_failed'])}","retryable":${random.below(2) === 1}}`
const refund = ({ random }: Scene) => `,"refundOf":"pay_${random.bits().toString(16).padStart(8, '0')}"`

const of = (domain: Domain, verb: string, weight: number, data: EventType['data']): EventType => ({
  type: `com.bss.${domain}.${verb}`,
  domain,
  weight,
  data,
})

/** A telecom-like mix: usage is more than two fifths of everything, failures and cancellations are rare. */
export const eventTypes: readonly EventType[] = [
  of('usage', 'recorded', 30, usageRecorded),
  of('usage', 'rated', 14, usageRated),
  of('usage', 'threshold-reached', 1, usageThreshold),
  of('order', 'created', 9, order('created')),
  of('order', 'updated', 7, order('updated')),
  of('order', 'fulfilled', 5, order('fulfilled')),
  of('order', 'cancelled', 1, order('cancelled')),
  of('payment', 'authorized', 6, payment('authorized', nothing)),
  of('payment', 'captured', 6, payment('captured', nothing)),
  of('payment', 'failed', 1.2, payment('failed', failure)),
  of('payment', 'refunded', 0.6, payment('refunded', refund)),
  of('invoice', 'issued', 4, invoice('issued')),
  of('invoice', 'paid', 3, invoice('paid')),
  of('invoice', 'overdue', 0.6, invoice('overdue')),
  of('invoice', 'disputed', 0.1, invoice('disputed')),
  of('subscription', 'activated', 1.5, subscription('activated')),
  of('subscription', 'renewed', 4, subscription('renewed')),
  of('subscription', 'upgraded', 0.6, subscription('upgraded')),
  of('subscription', 'cancelled', 0.5, subscription('cancelled')),
  of('customer', 'registered', 1.2, customer('registered')),
  of('customer', 'updated', 2.8, customer('updated')),
  of('customer', 'verified', 0.9, customer('verified')),
]
