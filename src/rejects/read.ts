/** Reads rejects: by page, one, or counted. Rows come as they are kept; nothing here changes anything. */
import type { Session } from '../schema/sql.ts'
import { condition, type RejectFilter } from './filter.ts'

/** int8 as text: an id is a name, and a JSON number would lose its end. */
export interface RejectRow {
  readonly id: string
  readonly consumer: string
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly time: Date
  readonly code: string
  readonly reason: string
  readonly decoder: string
  readonly type: string | null
  readonly tenant: string | null
  readonly attempts: number
  readonly redriveOf: string | null
  readonly rejectedAt: Date
  readonly state: string
  readonly stateAt: Date | null
  readonly audit: string | null
}

export interface FullReject extends RejectRow {
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** Name, and the value in base64 or null. */
  readonly headers: readonly (readonly [string, string | null])[]
}

const columns = `r.id::text, r.consumer, r.topic, r.partition, r.kafka_offset::text as "offset", r.kafka_time as time, r.code, r.reason,
  r.decoder, r.event_type as type, r.tenant_id as tenant, r.attempts, r.redrive_of::text as "redriveOf", r.rejected_at as "rejectedAt",
  r.state, r.state_at as "stateAt", r.audit_id::text as audit`

export async function newest(session: Session, filter: RejectFilter, limit: number): Promise<RejectRow[]> {
  const { sql, values } = condition(filter)
  const text = `select ${columns} from rejects r where ${sql} order by r.rejected_at desc, r.id desc limit $${values.length + 1}`
  return (await session.query(text, [...values, limit])).rows
}

export async function countAll(session: Session, filter: RejectFilter): Promise<number> {
  const { sql, values } = condition(filter)
  return (await session.query(`select count(*)::int from rejects r where ${sql}`, [...values])).rows[0].count
}

export type Grouping = 'code' | 'type' | 'tenant' | 'partition'

export interface Group {
  /** Null: it could not be read from the record. */
  readonly name: string | null
  readonly count: number
  readonly first: Date
  readonly last: Date
  /** The newest of them, to look at with `show`. */
  readonly example: string
}

const groupColumns: Readonly<Record<Grouping, string>> = {
  code: 'r.code',
  type: 'r.event_type',
  tenant: 'r.tenant_id',
  partition: "r.topic || '/' || r.partition",
}

export async function grouped(session: Session, filter: RejectFilter, by: Grouping, limit: number): Promise<Group[]> {
  const { sql, values } = condition(filter)
  const text = `select ${groupColumns[by]} as name, count(*)::int, min(r.rejected_at) as first, max(r.rejected_at) as last, max(r.id)::text as example
    from rejects r where ${sql} group by 1 order by 2 desc, 1 limit $${values.length + 1}`
  return (await session.query(text, [...values, limit])).rows
}

export async function one(session: Session, id: string): Promise<FullReject | null> {
  const text = `select ${columns}, r.key, r.value, r.headers from rejects r where r.id = $1`
  return (await session.query(text, [id])).rows[0] ?? null
}

export interface Action {
  readonly at: Date
  readonly actor: string
  readonly action: string
  readonly detail: Readonly<Record<string, unknown>>
}

export async function actionOf(session: Session, { audit }: RejectRow): Promise<Action | null> {
  if (audit === null) return null
  return (await session.query('select at, actor, action, detail from audit where id = $1', [audit])).rows[0] ?? null
}

const pageRows = 200

/** All of them, oldest first, a page at a time: as of when each page is read. */
export async function* every(session: Session, filter: RejectFilter): AsyncGenerator<FullReject, void, void> {
  const { sql, values } = condition(filter)
  const n = values.length
  const text = `select ${columns}, r.key, r.value, r.headers from rejects r where ${sql} and r.id > $${n + 1} order by r.id limit $${n + 2}`
  for (let afterId = '0'; ; ) {
    const { rows } = (await session.query(text, [...values, afterId, pageRows])) as { rows: FullReject[] }
    yield* rows
    if (rows.length < pageRows) return
    afterId = (rows.at(-1) as FullReject).id
  }
}
