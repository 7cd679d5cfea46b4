/**
 * The simulator's records, made from a seed and the times it is given: the same seed and the same times give the same bytes. Pure; nothing here
 * knows Kafka beyond a key, a partition and headers.
 *
 * An event is CloudEvents 1.0, about 466 bytes in structured mode. Its key is its subject, and a subject always goes to the same partition.
 * A duplicate is what a retrying producer sends: the same record, timestamp included, up to a thousand records later.
 */
import { createFragments, type Domain, domains, type EventType, eventTypes, type Scene } from './catalogue.ts'
import { type PoisonHeaders, poisons } from './poison.ts'
import { createRandom, type Random } from './random.ts'

export interface EventsOptions {
  readonly seed: number
  readonly partitions: number
  /** Shares of all records, each in [0, 1]. */
  readonly duplicates?: number
  readonly poison?: number
  /** Share of the good events that travel in binary mode. */
  readonly binary?: number
}

export interface SimulatedRecord {
  readonly kind: 'event' | 'duplicate' | 'poison'
  /** An event's type, or the label of the poison. */
  readonly label: string
  readonly source: string
  readonly id: string
  readonly key: string
  readonly partition: number
  /** Milliseconds, whole: the Kafka timestamp, and the time inside the event. */
  readonly timestampMs: number
  readonly value: string | Buffer | null
  readonly headers: PoisonHeaders
}

export interface Events {
  /** The next record, due at `dueMs`. */
  next(dueMs: number): SimulatedRecord
}

interface Subject {
  readonly key: string
  readonly customer: string
  readonly tenant: string
  readonly tenantMember: string
  readonly hash: number
}

/** What every event of a type has in common, put together once: fewer pieces make a string that is quicker to flatten. */
interface Kind extends EventType {
  readonly source: string
  readonly beforeSubject: string
  readonly schema: string
}

export const tenants = [
  [
    'northwind',
    'bluefibre',
    'telamo',
    'voxline',
    'cirrus',
    'halden',
    'lumen-one',
    'kestrel',
    'ostrava-net',
    'pacifica',
  ],
  ['quanta', 'rivermark', 'sable', 'tundra', 'umbra', 'valiant', 'westgate', 'xenia', 'yarrow', 'zephyr'],
].flat()

const prefixes = { customer: 'cus', order: 'ord', payment: 'pay', invoice: 'inv', subscription: 'sub', usage: 'sub' }
const sources = {
  customer: '/bss/customers',
  order: '/bss/orders',
  payment: '/bss/payments',
  invoice: '/bss/invoices',
  subscription: '/bss/subscriptions',
  usage: '/bss/usage',
}
/** Bounded, so that keys recur as they do in life: a subject of rank one is seen in every few hundred events of its domain. */
const subjectsPerDomain = 8000
const withoutTimeShare = 0.002
const duplicateDistanceMax = 1000

export const structuredHeaders = {
  'content-type': Buffer.from('application/cloudevents+json; charset=utf-8'),
} as const

/** FNV-1a over the characters: subjects are ASCII. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}

function createSubjects(random: Random): Record<Domain, Subject[]> {
  const hex8 = () => random.bits().toString(16).padStart(8, '0')
  const make = (domain: Domain): Subject[] =>
    Array.from({ length: subjectsPerDomain }, () => {
      const key = `${prefixes[domain]}_${hex8()}`
      const tenant = tenants[random.skewed(tenants.length)] as string
      return {
        key,
        customer: domain === 'customer' ? key : `cus_${hex8()}`,
        tenant,
        tenantMember: `"tenantid":"${tenant}",`,
        hash: hashOf(key),
      }
    })
  return Object.fromEntries(domains.map((domain) => [domain, make(domain)])) as Record<Domain, Subject[]>
}

/** One entry per thousandth of the weight, so that choosing a type is one look-up. */
function createMix(): Kind[] {
  const total = eventTypes.reduce((sum, { weight }) => sum + weight, 0)
  return eventTypes.flatMap((eventType) => {
    const { type, domain, weight } = eventType
    const source = sources[domain]
    const kind: Kind = {
      ...eventType,
      source,
      beforeSubject: `","source":"${source}","type":"${type}","subject":"`,
      schema: `https://schemas.example.com/bss/${type.slice('com.bss.'.length)}/v2.json`,
    }
    return Array<Kind>(Math.max(1, Math.round((weight / total) * 1000))).fill(kind)
  })
}

export function createEvents(options: EventsOptions): Events {
  const { partitions, duplicates = 0, poison = 0, binary = 0 } = options
  const random = createRandom(options.seed)
  const fragments = createFragments(random)
  const subjects = createSubjects(random)
  const mix = createMix()
  /** Records to be sent again, by the count at which their time has come. */
  const again = new Map<number, SimulatedRecord[]>()
  let count = 0
  let isoMs = Number.NaN
  let iso = ''
  let timeMember = ''

  function event(dueMs: number): SimulatedRecord {
    const timestampMs = Math.floor(dueMs)
    if (timestampMs !== isoMs) {
      isoMs = timestampMs
      iso = new Date(timestampMs).toISOString()
      timeMember = `","time":"${iso}",`
    }
    const chosen = mix[random.below(mix.length)] as Kind
    const { domain, type, source } = chosen
    const subject = subjects[domain][random.skewed(subjectsPerDomain)] as Subject
    const id = random.uuid()
    const scene: Scene = { random, fragments, subject: subject.key, customer: subject.customer, iso }
    const rare = random.unit()
    const schema = rare < 0.15 ? chosen.schema : ''
    const trace = rare > 0.95 ? `00-${id.replaceAll('-', '')}-${id.slice(0, 8)}${id.slice(28)}-01` : ''
    const timed = random.unit() >= withoutTimeShare
    const data = chosen.data(scene)
    const common = { kind: 'event', label: type, source, id, key: subject.key, timestampMs } as const
    const partition = subject.hash % partitions
    if (binary > 0 && random.unit() < binary) {
      const headers: Record<string, string> = {
        'content-type': 'application/json',
        ce_specversion: '1.0',
        ce_id: id,
        ce_source: source,
        ce_type: type,
        ce_subject: subject.key,
        ce_tenantid: subject.tenant,
      }
      if (timed) headers.ce_time = iso
      if (schema !== '') headers.ce_dataschema = schema
      if (trace !== '') headers.ce_traceparent = trace
      return { ...common, partition, value: data, headers }
    }
    const time = timed ? timeMember : '",'
    const more = `${schema === '' ? '' : `"dataschema":"${schema}",`}${trace === '' ? '' : `"traceparent":"${trace}",`}`
    const value = `{"specversion":"1.0","id":"${id}${chosen.beforeSubject}${subject.key}${time}${subject.tenantMember}${more}"datacontenttype":"application/json","data":${data}}`
    return { ...common, partition, value, headers: structuredHeaders }
  }

  /** A bad record keeps the key and the partition of the event that it might have been. */
  function bad(dueMs: number): SimulatedRecord {
    let good = event(dueMs)
    // Spoiling works on the envelope, and the table of poisons counts on a time being there.
    while (typeof good.value !== 'string' || good.headers !== structuredHeaders || !good.value.includes('"time":"')) {
      good = event(dueMs)
    }
    const { label, spoil } = poisons[random.below(poisons.length)] as (typeof poisons)[number]
    return { ...good, kind: 'poison', label, ...spoil(good.value) }
  }

  return {
    next(dueMs) {
      const at = count++
      const waiting = again.get(at)
      const record = waiting?.pop()
      if (record !== undefined) {
        if (waiting?.length === 0) again.delete(at)
        // Two retries due at once: the other goes next.
        else if (waiting !== undefined) {
          again.delete(at)
          again.set(at + 1, waiting.concat(again.get(at + 1) ?? []))
        }
        return record
      }
      const luck = poison === 0 && duplicates === 0 ? 1 : random.unit()
      if (luck < poison) return bad(dueMs)
      const made = event(dueMs)
      if (luck < poison + duplicates) {
        const due = count + random.below(duplicateDistanceMax)
        again.set(due, [{ ...made, kind: 'duplicate' }, ...(again.get(due) ?? [])])
      }
      return made
    },
  }
}
