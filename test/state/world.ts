/** A database with three days of events of a few subjects, the first two of them sealed; and the command line in it. */
import type pg from 'pg'
import { dayMs, dayOf, partitionName } from '../../src/core/day.ts'
import type { Json } from '../../src/core/json.ts'
import { seal } from '../../src/keeper/seal.ts'
import { keeperSession } from '../../src/keeper/turn.ts'
import { loadConsumer } from '../../src/process/load-consumer.ts'
import { loadSettings } from '../../src/process/load-settings.ts'
import { ensurePartitions } from '../../src/schema/partitions.ts'
import { type StateContext, stateCommand } from '../../src/state/command.ts'
import type { StateAction, StateFlags } from '../../src/state/flags.ts'
import { type Database, noSignal } from '../schema/database.ts'

export const table = 'cloud_events'
export const nowMs = Date.parse('2026-11-21T12:00:00Z')
export const today = dayOf(nowMs)

type Action = Exclude<StateAction, 'debug'>

export interface Row {
  readonly subject: string
  readonly type: string
  /** 2026-11-19T10:00:00Z, to the microsecond. */
  readonly time: string
  readonly id: string
  readonly data: Json
  readonly stored?: string
}

export interface World {
  readonly session: pg.Client
  readonly env: Readonly<Record<string, string>>
  /** As the command line is given it; what it writes is thrown away. */
  readonly context: StateContext
  connect(): Promise<pg.Client>
  put(rows: readonly Row[], by?: pg.Client): Promise<void>
  /** Events of other subjects, so many a day. */
  fill(day: number, count: number): Promise<void>
  seal(day: number): Promise<void>
  run(action: Action, subjects: readonly string[], flags?: Partial<StateFlags>): Promise<Said>
  /** With --json, as what it says. */
  // biome-ignore lint/suspicious/noExplicitAny: a test says what it expects
  json(action: Action, subjects: readonly string[], flags?: Partial<StateFlags>): Promise<any>
}

export interface Said {
  readonly code: number
  readonly out: string
  readonly err: string
}

export async function worldOf(database: Database): Promise<World> {
  const session = await database.connect()
  const { host, port, user, database: name } = session
  const env = {
    MILLRACE_POSTGRES: `postgres://${user}@${host}:${port}/${name}`,
    MILLRACE_POSTGRES_PASSWORD: session.password ?? '',
  }
  const { settings } = loadSettings({ env, directory: '/', needs: ['postgresUrl'] })
  const consumer = await loadConsumer('cloud-events')
  const days = [today - 2, today - 1, today]
  await ensurePartitions(session, table, days, { signal: noSignal })
  const context = {
    settings,
    consumer,
    actor: 'ann@desk',
    now: () => nowMs,
    signal: noSignal,
    write() {},
    writeError() {},
  }
  const run = async (action: Action, subjects: readonly string[], flags: Partial<StateFlags> = {}) => {
    let out = ''
    let err = ''
    const told = {
      ...context,
      write: (text: string) => {
        out += text
      },
      writeError: (text: string) => {
        err += text
      },
    }
    const code = await stateCommand(action, subjects, { consumer: 'cloud-events', ...flags }, told)
    return { code, out, err }
  }
  return {
    session,
    env,
    context,
    connect: () => database.connect(),
    async put(rows, by = session) {
      for (const { subject, type, time, id, data, stored } of rows) {
        await by.query(
          `insert into ${table} (id, event_time, source, event_id, type, subject, data, kafka_topic, kafka_partition, kafka_offset, kafka_time, ingested_at)
           values (millrace_event_id($1::timestamptz, '/bss', $2), $1::timestamptz, '/bss', $2, $3, $4, $5, 'cloud-events', 3, 7, $1::timestamptz, coalesce($6::timestamptz, $1::timestamptz))`,
          [time, id, type, subject, JSON.stringify(data), stored ?? null],
        )
      }
    },
    async fill(day, count) {
      await session.query(
        `insert into ${partitionName(table, day)} (id, event_time, source, event_id, type, subject, data, kafka_topic, kafka_partition, kafka_offset, kafka_time)
         select millrace_event_id(at, '/fill', n::text), at, '/fill', n::text, 'com.bss.usage.recorded', 'sub_' || n % 500,
           jsonb_build_object('meter', 'sms', 'quantity', n % 9), 'cloud-events', 0, n, at
         from generate_series(1, $2::int) n, lateral (select to_timestamp($1::float8 / 1000 + n::float8 * 86000 / $2) as at) made`,
        [day * dayMs, count],
      )
    },
    async seal(day) {
      const keeper = await database.connect()
      await keeper.query(keeperSession)
      await seal(keeper, table, day, { signal: noSignal })
    },
    run,
    async json(action, subjects, flags) {
      return JSON.parse((await run(action, subjects, { ...flags, json: true })).out)
    },
  }
}

const order = (verb: string, time: string, id: string, more: Record<string, Json> = {}): Row => ({
  subject: 'ord_1',
  type: `com.bss.order.${verb}`,
  time,
  id,
  data: { orderId: 'ord_1', customerId: 'cus_1', amount: 12.5, currency: 'EUR', lines: [{ sku: 'A', n: 1 }], ...more },
})

export const orderRows: readonly Row[] = [
  order('created', '2026-11-19T10:00:00Z', 'e1'),
  order('updated', '2026-11-19T11:00:00.000001Z', 'e2', { amount: 13 }),
  order('updated', '2026-11-20T09:00:00Z', 'e3', { amount: 14 }),
  order('fulfilled', '2026-11-21T08:00:00Z', 'e4', { amount: 14 }),
]

export const late: Row = order('updated', '2026-11-19T10:30:00Z', 'late', { channel: 'shop' })
