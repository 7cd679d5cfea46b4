/**
 * Records to try the decoder with, from a seed: vectors and simulated events with bytes, members and headers changed, JSON in every way it can be
 * written, and noise. The same seed gives the same records.
 */
import fc from 'fast-check'
import type { HeaderValue } from '../../src/core/record.ts'
import { createEvents } from '../../src/simulate/events.ts'
import { createRandom, type Random } from '../../src/simulate/random.ts'
import * as texts from '../core/texts.ts'
import { nowMs } from '../flow/batches.ts'
import { badVectors } from '../vectors/bad.ts'
import { goodVectors } from '../vectors/good.ts'
import type { Given } from '../vectors/judge.ts'
import { ce, ceJson } from '../vectors/make.ts'

export interface FuzzRecord extends Given {
  readonly value: Buffer | null
  readonly headers: Record<string, HeaderValue>
  /** How it was made. */
  readonly from: string
}

/** Larger ones would be most of the time. */
const bytesMax = 20_000
const seeds: readonly FuzzRecord[] = [...goodVectors, ...badVectors]
  .filter(({ value }) => value === null || Buffer.byteLength(value) < bytesMax)
  .filter(({ headers = {} }) => Object.keys(headers).every((name) => name.length < 1000))
  .map(({ name, value, headers = {} }) => ({
    from: name,
    value: value === null ? null : Buffer.from(value as string),
    headers: { ...headers },
  }))

const splinters = [
  ...'{}[],:"\\/0-+eE.% \n\0\x1f\x7f#',
  ...[
    '\\u0000',
    '\\ud800',
    '\\udc00',
    '\\ud83d\\ude00',
    '\\ud83d\\u0041',
    '1e400',
    '1e9999',
    '-0',
    'null',
    'true',
    '[[[[',
    '"a":1,',
    '\ufeff',
    '%zz',
    '""',
  ],
  ...[
    'data',
    'data_base64',
    'id',
    'source',
    'type',
    'time',
    '__proto__',
    'constructor',
    'é',
    '😀',
    '\u2028',
    '==',
    'AA==',
  ],
  ...['c080', 'eda080', 'f4908080', 'ff', '80', 'c3'].map((hex) => Buffer.from(hex, 'hex')),
].map((one) => Buffer.from(one as string))

const names = [
  'id',
  'source',
  'type',
  'subject',
  'tenantid',
  'time',
  'specversion',
  'datacontenttype',
  'dataschema',
  'data',
  'data_base64',
  'traceparent',
  'region',
  'constructor',
  'tostring',
  'x',
  '7',
  'Bad',
  'a-b',
  '__proto__',
  '',
]
const strings = [
  '',
  'a',
  '1.0',
  '/s',
  'é😀',
  'a b',
  'a\0b',
  '\ud800',
  '\u007f\u0085',
  '\uffff',
  'http://[::1]/a',
  'urn:a:b',
  ':',
  '//',
  '%41',
  '%',
  'x'.repeat(1024),
  'é'.repeat(600),
  'AAAA',
  'AA==',
  'A=',
  'text/plain',
  'application/json',
  'application/xml',
  'a/b+json',
  ' text/plain ; charset = "utf-8"',
  'text/html; charset=latin1',
  '__proto__',
  'null',
  '0',
  '\\',
  '"',
  '\n',
]
const others = [
  null,
  true,
  false,
  0,
  -0,
  1.5,
  2 ** 31,
  1e300,
  {},
  [],
  { a: [{}] },
  [null],
  { '\0': 1 },
  { __proto__x: 1 },
]
/** Long, and not to be compressed away. */
const dense = Array.from({ length: 900 }, (_, n) => Math.imul(n + 1, 0x9e3779b1).toString(36)).join('')
const contentTypes = [
  'application/cloudevents+json',
  'APPLICATION/CLOUDEVENTS+JSON; charset=x',
  'application/cloudevents',
  'application/cloudevents-batch+json',
  'application/cloudevents+avro',
  'application/json',
  'text/plain',
  'application/octet-stream',
  'a/b+json',
  'text/xml; charset=utf-8',
  'text/csv;charset=ascii',
  '',
  ';',
  '/json',
]

export function createRecords(seed: number): { next(count: number): FuzzRecord[] } {
  const random = createRandom(seed)
  const events = createEvents({ seed, partitions: 3, binary: 0.4, duplicates: 0.02, poison: 0.05 })
  const pick = <T>(all: readonly T[]): T => all[random.below(all.length)] as T

  function time(): string {
    const two = (below: number) => String(random.below(below)).padStart(2, '0')
    const day =
      random.unit() < 0.9
        ? new Date(nowMs - random.below(32) * 86_400_000).toISOString().slice(0, 10)
        : `${two(100)}${two(100)}-${two(14)}-${two(33)}`
    const fraction = random.unit() < 0.5 ? '' : `.${String(random.bits()).slice(0, 1 + random.below(9))}`
    const zone = random.unit() < 0.6 ? pick(['Z', 'z']) : `${pick(['+', '-'])}${two(24)}:${two(61)}`
    return `${day}${pick(['T', 't', ' '])}${two(25)}:${two(61)}:${two(62)}${fraction}${zone}`
  }

  const odd = (): unknown => {
    const luck = random.unit()
    if (luck < 0.47) return pick(strings)
    if (luck < 0.5) return dense.slice(0, random.below(dense.length))
    if (luck < 0.7) return time()
    return luck < 0.85 ? random.uuid() : pick(others)
  }

  /** A member of the envelope set, taken away, or there twice. */
  function changeMember(value: Buffer): Buffer {
    let event: Record<string, unknown>
    try {
      event = JSON.parse(value.toString())
      // What is nested too deep for it stays bytes.
      JSON.stringify(event)
    } catch {
      return changeBytes(value)
    }
    if (typeof event !== 'object' || event === null || Array.isArray(event)) return changeBytes(value)
    const name = pick(names)
    const json = JSON.stringify(random.unit() < 0.15 ? { ...event, [name]: undefined } : { ...event, [name]: odd() })
    if (random.unit() < 0.9 || json === '{}') return Buffer.from(json)
    return Buffer.from(`{${JSON.stringify(name)}:${JSON.stringify(odd())},${json.slice(1)}`)
  }

  function changeBytes(value: Buffer): Buffer {
    let bytes = Buffer.from(value)
    for (let left = 1 + random.skewed(4); left > 0; left--) {
      const at = random.below(bytes.length + 1)
      const gone = random.unit() < 0.5 ? 0 : random.skewed(20)
      const luck = random.unit()
      const put =
        luck < 0.2
          ? Buffer.of(random.below(256))
          : luck < 0.7
            ? pick(splinters)
            : luck < 0.8
              ? bytes.subarray(at, at + random.below(40))
              : luck < 0.85
                ? (pick(seeds).value ?? Buffer.alloc(0))
                : Buffer.alloc(0)
      bytes = Buffer.concat([
        bytes.subarray(0, at),
        put,
        random.unit() < 0.03 ? Buffer.alloc(0) : bytes.subarray(at + gone),
      ])
    }
    return bytes
  }

  function changeHeaders(headers: Record<string, HeaderValue>): Record<string, HeaderValue> {
    // Without a prototype: a header may be called __proto__.
    const changed: Record<string, HeaderValue> = Object.assign(Object.create(null), headers)
    for (let left = 1 + random.below(2); left > 0; left--) {
      const known = Object.keys(changed)
      const name =
        random.unit() < 0.4 && known.length > 0
          ? pick(known)
          : random.unit() < 0.4
            ? 'content-type'
            : `${pick(['ce_', 'Ce_', 'CE_', 'ce-', ''])}${pick(names)}`
      const text = name === 'content-type' ? pick(contentTypes) : odd()
      const one: HeaderValue =
        text === null ? null : Buffer.from(typeof text === 'string' ? text : JSON.stringify(text))
      const luck = random.unit()
      if (luck < 0.2) delete changed[name]
      else if (luck < 0.35) changed[name] = [changed[name], one].flat() as HeaderValue
      else if (luck < 0.45) changed[name] = Buffer.of(random.below(256), random.below(256))
      else changed[name] = one
    }
    return changed
  }

  function fromSimulator(): FuzzRecord {
    const { label, value, headers } = events.next(nowMs - random.below(20 * 86_400_000))
    return {
      from: label,
      value: value === null ? null : Buffer.from(value as string),
      headers: { ...headers } as Record<string, HeaderValue>,
    }
  }

  function changed({ from, value, headers, ...rest }: FuzzRecord): FuzzRecord {
    const luck = random.unit()
    const made = { ...rest, from: `changed: ${from}` }
    if (luck < 0.03) return { ...made, value: null, headers }
    if (luck < 0.3) return { ...made, value, headers: changeHeaders(headers) }
    if (luck < 0.65) return { ...made, value: value && changeMember(value), headers }
    return { ...made, value: value && changeBytes(value), headers: luck < 0.9 ? headers : changeHeaders(headers) }
  }

  const data = fc.tuple(fc.boolean(), texts.value).map(([, text]) => Buffer.from(text))
  const envelope = texts.pairs.map((pairs) => {
    const own = Object.entries({ specversion: '1.0', id: random.uuid(), source: '/fuzz', type: 'fuzz' })
    const all = [...own.map(([name, value]) => [JSON.stringify(name), JSON.stringify(value)] as const)]
    for (const [key, value] of pairs) all.push([random.unit() < 0.7 ? `"${pick(names)}"` : key, value])
    return Buffer.from(texts.objectText(all))
  })
  const written = fc.oneof(
    envelope.map((value): FuzzRecord => ({ from: 'written envelope', value, headers: {} })),
    data.map((value): FuzzRecord => ({ from: 'written data', value, headers: random.unit() < 0.5 ? ceJson() : ce() })),
    texts.text.map(
      (value): FuzzRecord => ({ from: 'damaged text', value, headers: random.unit() < 0.5 ? ceJson() : {} }),
    ),
  )

  return {
    next(count) {
      const sample = fc.sample(written, { seed: random.bits() | 0, numRuns: Math.ceil(count / 4) })
      return Array.from({ length: count }, (_, n) => {
        const made = n % 4 === 0 ? (sample[n / 4] as FuzzRecord) : random.unit() < 0.4 ? fromSimulator() : pick(seeds)
        const record = n % 4 === 0 || random.unit() < 0.1 ? made : changed(random.unit() < 0.3 ? changed(made) : made)
        const timestamp =
          random.unit() < 0.95 ? nowMs - random.below(86_400_000) : pick([0, -1, 2 ** 52, -(2 ** 52), nowMs * 2])
        return { ...record, timestamp: String(timestamp) }
      })
    },
  }
}

/** Bytes of a run after something went wrong with them. */
export function damage(bytes: Uint8Array, random: Random): Buffer {
  const damaged = Buffer.from(bytes)
  for (let left = 1 + random.below(3); left > 0; left--) damaged[random.below(damaged.length)] = random.below(256)
  return random.unit() < 0.2 ? damaged.subarray(0, random.below(damaged.length)) : damaged
}
