/**
 * The simulator's records, made from a seed and the times it is given: the same seed and the same times give the same bytes. Pure; nothing here
 * knows Kafka beyond a key, a partition and headers.
 *
 * Every place in the sequence is drawn from the seed and the place alone, so that several processes can share one sequence out among them: each makes
 * the records of its own partitions and passes the others by, and all together they make what one would have made.
 *
 * An event is CloudEvents 1.0, about 466 bytes in structured mode. Its key is its subject, and a subject always goes to the same partition.
 * A duplicate is what a retrying producer sends: the same record, timestamp included, up to two thousand records later.
 */
import { createFragments, type EventType, eventTypes } from './catalogue.ts'
import { type PoisonHeaders, poisons } from './poison.ts'
import { createRandom, createZipf } from './random.ts'
import { createSubjects, hotSubjects, type Subject, subjectsPerDomain } from './subjects.ts'

export interface EventsOptions {
  readonly seed: number
  readonly partitions: number
  /** Shares of all records, each in [0, 1]. */
  readonly duplicates?: number
  readonly poison?: number
  /** Share of the good events that travel in binary mode. */
  readonly binary?: number
  /** How many tenants there are (20), and how unequal they are: the exponent of Zipf's law (1). */
  readonly tenants?: number
  readonly tenantSkew?: number
  /** The same exponent for the subjects of a domain, which are the keys; left out: the first 1 % get 10 %. */
  readonly keySkew?: number
  /** This share of the records goes to the first so many partitions, on top of what is theirs anyway. */
  readonly hotShare?: number
  readonly hotPartitions?: number
  /** Bytes of an event in structured mode: filled up or cut down to it, or to something between the two, small ones more often. */
  readonly size?: readonly [min: number, max: number]
}

/** An event before anybody has decided how it travels. */
export interface SimulatedEvent {
  readonly type: string
  readonly source: string
  readonly id: string
  readonly subject: string
  readonly tenant: string
  readonly timestampMs: number
  /** JSON. */
  readonly data: string
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
  /** The next one where its partition is of this share (partition modulo `of`); else null, at hardly any cost. */
  nextOf(share: number, of: number, dueMs: number): SimulatedRecord | null
  /** The next one as an event and nothing else, for stores that know no records: neither duplicates nor bad ones. */
  nextEvent(dueMs: number): SimulatedEvent
}

/** What every event of a type has in common, put together once: fewer pieces make a string that is quicker to flatten. */
interface Kind extends EventType {
  readonly source: string
  readonly beforeSubject: string
  readonly schema: string
}

const sources = {
  customer: '/bss/customers',
  order: '/bss/orders',
  payment: '/bss/payments',
  invoice: '/bss/invoices',
  subscription: '/bss/subscriptions',
  usage: '/bss/usage',
}
const withoutTimeShare = 0.002
const duplicateDistanceMax = 1000
/** Due times are remembered for so many records: as far as a duplicate may have to look back. */
const rememberedMax = 2048

export const structuredHeaders = {
  'content-type': Buffer.from('application/cloudevents+json; charset=utf-8'),
} as const

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

/** What is known of a record before it is made. */
interface Draw {
  kind: SimulatedRecord['kind']
  /** Where the event stands that it is made of: a duplicate's is an earlier one. */
  place: number
  chosen: Kind
  subject: Subject
}

export function createEvents(options: EventsOptions): Events {
  const { partitions, duplicates = 0, poison = 0, binary = 0, tenants = 20, tenantSkew = 1, size } = options
  const { keySkew, hotShare = 0, hotPartitions = 1 } = options
  const random = createRandom(options.seed)
  const fragments = createFragments(random)
  const subjects = createSubjects(random, tenants, tenantSkew)
  const mix = createMix()
  const zipf = keySkew === undefined ? null : createZipf(subjectsPerDomain, keySkew)
  const hot = hotShare === 0 ? null : hotSubjects(subjects, partitions, hotPartitions)
  const dues = new Float64Array(rememberedMax)
  const draw = { kind: 'event', place: 0 } as Draw
  let count = 0
  let isoMs = Number.NaN
  let iso = ''

  const isEvent = (place: number) => {
    random.seek(place)
    return random.unit() >= poison + duplicates
  }

  /** What the record at this place will be; `random` then stands where the event goes on to be made. */
  function look(place: number): void {
    random.seek(place)
    const luck = random.unit()
    draw.kind = luck < poison ? 'poison' : 'event'
    draw.place = place
    if (luck >= poison && luck < poison + duplicates) {
      let of = place - 1 - random.below(duplicateDistanceMax)
      const last = Math.max(0, of - duplicateDistanceMax)
      while (of >= last && !isEvent(of)) of--
      // The very first ones have nothing before them, and are events themselves.
      if (of >= last) {
        draw.kind = 'duplicate'
        draw.place = of
      }
      random.seek(draw.place)
      random.unit()
    }
    draw.chosen = mix[random.below(mix.length)] as Kind
    const all = subjects[draw.chosen.domain]
    const hotOnes = hot?.[draw.chosen.domain] ?? []
    if (hotOnes.length > 0 && random.unit() < hotShare) {
      draw.subject = hotOnes[random.skewed(hotOnes.length)] as Subject
    } else draw.subject = all[zipf === null ? random.skewed(all.length) : zipf(random.unit())] as Subject
  }

  function record(): SimulatedRecord {
    const { kind, chosen, subject, place } = draw
    const { type, source } = chosen
    const timestampMs = Math.floor(dues[place % rememberedMax] as number)
    if (timestampMs !== isoMs) {
      isoMs = timestampMs
      iso = new Date(timestampMs).toISOString()
    }
    const id = random.uuid()
    const rare = random.unit()
    const schema = rare < 0.15 ? chosen.schema : ''
    const trace = rare > 0.95 ? `00-${id.replaceAll('-', '')}-${id.slice(0, 8)}${id.slice(28)}-01` : ''
    // Spoiling works on the envelope, and the table of poisons counts on a time being there.
    const timed = random.unit() >= withoutTimeShare || kind === 'poison'
    let data = chosen.data({ random, fragments, subject: subject.key, customer: subject.customer, iso })
    const partition = subject.hash % partitions
    const common = { kind, label: type, source, id, key: subject.key, partition, timestampMs } as const
    const isBinary = binary > 0 && random.unit() < binary
    if (isBinary && kind !== 'poison') {
      if (size !== undefined) data = sized(data, sizeOf(size), envelopeBytes(chosen, subject))
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
      return { ...common, value: data, headers }
    }
    const time = timed ? `","time":"${iso}",` : '",'
    const more = `${schema === '' ? '' : `"dataschema":"${schema}",`}${trace === '' ? '' : `"traceparent":"${trace}",`}`
    const head = `{"specversion":"1.0","id":"${id}${chosen.beforeSubject}${subject.key}${time}${subject.tenantMember}${more}"datacontenttype":"application/json","data":`
    if (size !== undefined) {
      const wanted = sizeOf(size)
      data = sized(data, wanted, head.length + 1)
      // Too small even so: only what a CloudEvent cannot be without, and its time.
      if (head.length + data.length > wanted) {
        const lean = `{"specversion":"1.0","id":"${id}${chosen.beforeSubject}${subject.key}${time}"data":`
        return finish(common, `${lean}${sized('{}', wanted, lean.length + 1)}}`)
      }
    }
    return finish(common, `${head}${data}}`)
  }

  function finish(common: Omit<SimulatedRecord, 'value' | 'headers'>, value: string): SimulatedRecord {
    const good = { ...common, value, headers: structuredHeaders }
    if (common.kind !== 'poison') return good
    const { label, spoil } = poisons[random.below(poisons.length)] as (typeof poisons)[number]
    return { ...good, label, ...spoil(value) }
  }

  const sizeOf = ([min, max]: readonly [number, number]) => Math.round(min * (max / min) ** random.unit())

  /** `data` filled up with, or cut down to, what makes `wanted` bytes together with what is around it. */
  function sized(data: string, wanted: number, around: number): string {
    const kept = Buffer.byteLength(data) > wanted - around ? '{}' : data
    const fill = wanted - around - Buffer.byteLength(kept) - fillBytes - (kept === '{}' ? 0 : 1)
    if (fill < 0) return kept
    const from = random.below(filling.length / 2)
    let text = ''
    for (let left = fill; left > 0; ) {
      const part = filling.slice(from, from + left)
      text += part
      left -= part.length
    }
    return `${kept.slice(0, -1)}${kept === '{}' ? '' : ','}"notes":"${text}"}`
  }

  return {
    next(dueMs) {
      dues[count % rememberedMax] = dueMs
      look(count++)
      return record()
    },
    nextOf(share, of, dueMs) {
      dues[count % rememberedMax] = dueMs
      look(count++)
      return (draw.subject.hash % partitions) % of === share ? record() : null
    },
    nextEvent(dueMs) {
      dues[count % rememberedMax] = dueMs
      look(count++)
      const { chosen, subject } = draw
      const timestampMs = Math.floor(dueMs)
      const id = random.uuid()
      const scene = { random, fragments, subject: subject.key, customer: subject.customer }
      const data = chosen.data({ ...scene, iso: new Date(timestampMs).toISOString() })
      const { type, source } = chosen
      const filled = size === undefined ? data : sized(data, sizeOf(size), envelopeBytes(chosen, subject))
      return { type, source, id, subject: subject.key, tenant: subject.tenant, timestampMs, data: filled }
    },
  }
}

/** `"notes":""` */
const fillBytes = 10
/** Words in no order, so that codecs find about as much to save as in the rest. */
const filling = createFilling()

function createFilling(): string {
  const random = createRandom(0x6d696c6c)
  const words =
    'invoice tariff router line contract late refund cell tower voucher port number call agent queue ticket'.split(' ')
  let text = ''
  while (text.length < 65_536) text += `${words[random.below(words.length)]} ${random.bits().toString(36)} `
  return text
}

/** About what is around the data of an event in structured mode. */
const envelopeBytes = ({ type, source }: Kind, { key, tenant }: Subject) =>
  186 + type.length + source.length + key.length + tenant.length
