/**
 * CloudEvents 1.0 from Kafka, structured and binary mode, as the Kafka protocol binding has them. Nothing gets through that PostgreSQL would refuse.
 * What a consumer asks for beyond the specification is said by its rules; a rule that is not used costs nothing.
 */
import type { EventView } from '../core/event.ts'
import type { RecordView } from '../core/record.ts'
import { type Reject, reject, type Verdict } from '../core/verdict.ts'
import type { Decoder } from '../define.ts'
import { attributeName, columns, excerpt, missing } from './attributes.ts'
import { decodeBinary, locateInHeaders } from './binary.ts'
import type { JsonSchemas } from './json-schemas.ts'
import { envelopeKind, isJsonType, JSON_ENVELOPE, NOT_AN_ENVELOPE, OTHER_ENVELOPE } from './media-type.ts'
import { decodeStructured } from './structured.ts'

export interface CloudEventRules {
  /** Attributes that every event must have, besides the specification's own: ['subject', 'tenantid']. */
  readonly required?: readonly string[]
  /** The tenants there are. An event of another one is rejected; one without a tenant is not, unless `tenantid` is required. */
  readonly tenants?: readonly string[]
  /** What the data of a type must look like: jsonSchemas({ 'com.bss.order.created': { ... } }). */
  readonly schemas?: JsonSchemas
  /**
   * lenient (the default): a record without ce_ headers and without a content type, or with one of JSON, is read as structured mode and counted.
   * strict: only application/cloudevents+json is.
   */
  readonly structured?: 'lenient' | 'strict'
}

type Rule = (event: EventView) => Reject | null

export function cloudEvents(rules: CloudEventRules = {}): Decoder {
  const checks = checksOf(rules)
  const strict = rules.structured === 'strict'
  return {
    name: 'cloud-event/2',
    decode(record, event) {
      event.reset(record.bytes)
      const verdict = decodeMode(record, event, strict)
      if (verdict !== null || checks.length === 0) return verdict
      for (const check of checks) {
        const problem = check(event)
        if (problem !== null) return problem
      }
      return null
    },
  }
}

/** Without rules of its own. */
export const cloudEvent = cloudEvents()

function decodeMode(record: RecordView, event: EventView, strict: boolean): Verdict {
  const labelled = record.header('content-type')
  const kind = labelled ? envelopeKind(record.bytes, record.headerStart, record.headerEnd) : NOT_AN_ENVELOPE
  if (kind === JSON_ENVELOPE) {
    if (record.valueStart < 0) return reject('tombstone')
    if (record.headerCount === 1) return decodeStructured(record, event)
    return decodeStructured(record, event) ?? headerProblem(record, event)
  }
  const contentType = labelled ? excerpt(record.bytes, record.headerStart, record.headerEnd) : null
  if (kind === OTHER_ENVELOPE) {
    locateInHeaders(record, event)
    return reject('content_type', `It reads '${contentType}'; of the formats only +json is read, and no batches.`)
  }
  if (record.headerStarting('ce_')) return decodeBinary(record, event)
  if (record.valueStart < 0) return reject('tombstone')
  if (strict)
    return reject(
      'content_type',
      `It ${contentType === null ? 'is missing' : `reads '${contentType}'`}, and there are no ce_ headers.`,
    )
  if (contentType !== null && !isJsonType(contentType))
    return reject('content_type', `It reads '${contentType}', and there are no ce_ headers.`)
  event.unlabelled = true
  return decodeStructured(record, event)
}

/**
 * Structured mode may repeat the ce_ headers, and the envelope counts. But headers that name another event are no repetition: somebody put two events
 * into one record. The same with two content types.
 */
function headerProblem(record: RecordView, event: EventView): Reject | null {
  const identity = new Map([
    ['ce_specversion', '1.0'],
    ['ce_id', event.id],
    ['ce_source', event.source],
    ['ce_type', event.type],
  ])
  let contentType: string | null = null
  for (const { name, start, end } of record.headers()) {
    if (start < 0) continue
    const lower = name.toLowerCase()
    const value = record.bytes.toString('utf8', start, end)
    if (lower === 'content-type') {
      if (contentType !== null && contentType !== value) return reject('duplicate_attribute', "Header 'content-type'.")
      contentType = value
    }
    const own = identity.get(lower)
    if (own !== undefined && own !== value) {
      return reject('mixed_modes', `'${lower}' reads '${value.slice(0, 60)}', the value has '${own.slice(0, 60)}'.`)
    }
  }
  return null
}

/** A consumer file's rules, as the checks they come to. Throws TypeError for a rule that makes no sense. */
function checksOf({ required = [], tenants, schemas }: CloudEventRules): Rule[] {
  const checks: Rule[] = []
  for (const name of required) {
    if (!attributeName.test(name) || name === 'data')
      throw new TypeError(`required: '${name}' is no name of an attribute`)
    checks.push(requires(name))
  }
  if (tenants !== undefined) {
    const known = new Set(tenants)
    checks.push(({ tenant }) =>
      tenant === null || known.has(tenant) ? null : reject('tenant_unknown', `It is '${tenant.slice(0, 60)}'.`),
    )
  }
  if (schemas !== undefined) {
    checks.push((event) => {
      const problem = schemas.problem(event.type, event)
      return problem === null ? null : reject('schema_violation', problem)
    })
  }
  return checks
}

function requires(name: string): Rule {
  if (name === 'time') return ({ timed }) => (timed ? null : missing(name))
  const column = columns.indexOf(name)
  if (column >= 0) return (event) => (event.byteLength(column) > 0 ? null : missing(name))
  if (name === 'specversion') return () => null
  return ({ extensions }) => {
    const value = extensions === null ? undefined : JSON.parse(extensions.toString('utf8'))[name]
    return value === undefined || value === '' ? missing(name) : null
  }
}
