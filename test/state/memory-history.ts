/** A past kept in memory: what postgres-history promises, in a few lines, for tests of what is made of it. */
import type { Json } from '../../src/core/json.ts'
import { canonicalJson } from '../../src/core/json.ts'
import { defineReducer, type ReducedEvent } from '../../src/define.ts'
import type { LoadedReducer } from '../../src/process/load-reducer.ts'
import type { Counts, History, Snapshot, StoredEvent } from '../../src/state/history.ts'
import { dayOfInstant, type Instant, instantOfMicros } from '../../src/state/instant.ts'
import { foldTo } from '../../src/state/state-at.ts'

export const beginMicros = Date.parse('2026-11-19T00:00:00Z') * 1000
export const dayMicros = 86_400_000_000
export const at = (micros: number): Instant => instantOfMicros(beginMicros + micros)

export function stored(subject: string, micros: number, n: number, data: Json, storedMicros = micros): StoredEvent {
  const event: ReducedEvent = {
    key: `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`,
    source: 's',
    id: String(n),
    type: 'com.bss.order.updated',
    subject,
    time: at(micros),
    tenant: null,
    data,
    dataBase64: null,
    extensions: {},
  }
  return { event, stored: at(storedMicros), place: `t/0@${n}` }
}

export const inOrder = (a: StoredEvent, b: StoredEvent): number =>
  `${a.event.time},${a.event.key}` < `${b.event.time},${b.event.key}` ? -1 : 1

/** Remembers everything, and in which order: two histories that differ in anything fold to other states. */
export const remembers: LoadedReducer = {
  name: 'remembers',
  hash: 'h1',
  definition: defineReducer<readonly Json[]>({
    subjects: ['a'],
    reduce: (state, { id, data }) => [...(state ?? []), [id, data]],
  }),
}

export interface MemoryHistory extends History {
  readonly rows: StoredEvent[]
  readonly kept: { snapshot: Snapshot; state: Json }[]
  /** Days before this one are retired. */
  oldest: string
  snap(reducer: LoadedReducer, subject: string, to: Instant): Promise<void>
}

export function memoryHistory(rows: StoredEvent[], days: readonly string[], pageRows = 3): MemoryHistory {
  const isKept = ({ event }: StoredEvent) => dayOfInstant(event.time) >= history.oldest
  const history: MemoryHistory = {
    rows,
    kept: [],
    oldest: days[0] ?? '9999-12-31',
    days: async () => days.filter((day) => day >= history.oldest).map((day) => ({ day, indexed: true, rows: 0 })),
    async counts(subject, to) {
      const counts: Record<string, number> = {}
      for (const { event } of rows.filter(isKept)) {
        if (event.subject !== subject || event.time > to) continue
        const day = dayOfInstant(event.time)
        counts[day] = (counts[day] ?? 0) + 1
      }
      return counts as Counts
    },
    async *events({ subject, types, after, to, known, limit }) {
      const sorts = (time: string, key: string | undefined) => `${time},${key ?? '~'}`
      const found = rows
        .filter(isKept)
        .filter(({ event, stored }) => {
          const place = sorts(event.time, event.key)
          if (subject !== undefined && event.subject !== subject) return false
          if (types !== undefined && !types.includes(event.type)) return false
          if (known !== undefined && stored > known) return false
          return place <= sorts(to.time, to.key) && (after === null || place > sorts(after.time, after.key))
        })
        .sort(inOrder)
        .slice(0, limit ?? Number.POSITIVE_INFINITY)
      for (let at = 0; at < found.length; at += pageRows) yield found.slice(at, at + pageRows)
    },
    async firstAfter(subject, time) {
      return (
        rows
          .filter(isKept)
          .filter(({ event }) => event.subject === subject && event.time > time)
          .sort(inOrder)[0]?.event.time ?? null
      )
    },
    async snapshots({ reducer, hash, subject, to, limit }) {
      return history.kept
        .map(({ snapshot }) => snapshot)
        .filter(
          (one) =>
            (reducer === undefined || one.reducer === reducer) &&
            (hash === undefined || one.hash === hash) &&
            (subject === undefined || one.subject === subject) &&
            (to === undefined || one.at <= to),
        )
        .sort((a, b) => (a.at > b.at ? -1 : 1))
        .slice(0, limit)
    },
    stateOf: async (snapshot) => history.kept.find((one) => one.snapshot === snapshot)?.state ?? null,
    async snap({ name, hash, definition }, subject, to) {
      const { state, events, first } = await foldTo(history, { name, hash, definition }, subject, { time: to })
      const counts = await history.counts(subject, to)
      // As it comes back from a column of text.
      const text = JSON.parse(JSON.stringify(state)) as Json
      const key = `${name} ${hash} ${subject} ${to}`
      const others = history.kept.filter(
        ({ snapshot: one }) => `${one.reducer} ${one.hash} ${one.subject} ${one.at}` !== key,
      )
      const snapshot = { reducer: name, hash, subject, at: to, first, events, counts, madeAt: to, madeBy: 'test' }
      history.kept.splice(0, Infinity, ...others, { snapshot, state: text })
    },
  }
  return history
}

export const same = (a: Json, b: Json): boolean => canonicalJson(a) === canonicalJson(b)
