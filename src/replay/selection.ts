/**
 * Which events a replay takes, said twice: as SQL for rows, as a function for records of Kafka; a test holds the two equal. The condition on data is a
 * JSONPath, and PostgreSQL judges it in both cases: rows where they lie, the data of records as parameters of a query. A condition in SQL is not
 * offered, since whoever may write one may do anything that the user of the database may; a JSONPath is a literal that can only look.
 */
import type { Selection } from './description.ts'

export interface Facts {
  readonly type: string
  readonly tenant: string | null
  readonly subject: string | null
  readonly source: string
}

const columns = [
  ['types', 'type'],
  ['tenants', 'tenant_id'],
  ['subjects', 'subject'],
  ['sources', 'source'],
] as const

/** `literal` quotes a text for SQL. */
export function conditionsSql(select: Selection, literal: (text: string) => string): string[] {
  const conditions: string[] = []
  for (const [list, column] of columns) {
    const texts = select[list]
    if (texts.length === 0) continue
    const exact = texts.filter((text) => !isPrefix(text))
    const either = texts.filter(isPrefix).map((text) => `${column} LIKE ${literal(likeOf(text))}`)
    if (exact.length > 0) either.push(`${column} IN (${exact.map(literal).join(', ')})`)
    conditions.push(either.length === 1 ? (either[0] as string) : `(${either.join(' OR ')})`)
  }
  if (select.jsonpath !== null) conditions.push(jsonpathSql('data', `${literal(select.jsonpath)}::jsonpath`))
  return conditions
}

/**
 * True where the path finds something that is neither false nor null: both `$.amount > 100` and `$.items[*] ? (@.price > 100)` then mean what they say.
 * What does not fit (no such member, a text where a number is compared) is no error but false.
 */
export const jsonpathSql = (data: string, path: string): string =>
  `coalesce(jsonb_path_query_first(${data}, ${path}, '{}', true), 'null') NOT IN ('null', 'false')`

export function matcher(select: Selection): (facts: Facts) => boolean {
  const types = matches(select.types)
  const tenants = matches(select.tenants)
  const subjects = matches(select.subjects)
  const sources = matches(select.sources)
  return ({ type, tenant, subject, source }) => types(type) && tenants(tenant) && subjects(subject) && sources(source)
}

function matches(texts: readonly string[]): (text: string | null) => boolean {
  if (texts.length === 0) return () => true
  const exact = new Set(texts.filter((text) => !isPrefix(text)))
  const prefixes = texts.filter(isPrefix).map((text) => text.slice(0, -1))
  return (text) => text !== null && (exact.has(text) || prefixes.some((prefix) => text.startsWith(prefix)))
}

const isPrefix = (text: string) => text.endsWith('*')
const likeOf = (text: string) => `${text.slice(0, -1).replaceAll(/[\\%_]/g, '\\$&')}%`
