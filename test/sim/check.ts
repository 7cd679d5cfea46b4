/**
 * What must be true, looked at from outside: the world's own state, never what a process says of itself. What a fault has taken away for good is known
 * to the world, and only that is excused.
 */
import { arrivalsMax } from '../../src/core/arrivals.ts'
import type { Business } from '../../src/core/tally.ts'
import type { MemoryKafka } from '../../src/flow/consume/memory.ts'
import type { MemoryDatabase, MemoryLedgerRow } from '../../src/flow/persist/memory.ts'
import type { CopiedReject, CopiedRow } from '../../src/flow/persist/read-copy.ts'
import type { MemoryStreams } from '../../src/flow/publish/memory.ts'
import { limits } from '../flow/batches.ts'
import { definition, type Load, type Produced } from './load.ts'
import type { Member } from './member.ts'

export class Finding extends Error {}

/** Losses that were the world's own doing. */
export interface Losses {
  /** Redis has lost entries at least once. */
  redis: boolean
  /** The database went back at least once. */
  rewound: boolean
  /** Clocks were so far off that good events may have been judged too old or too new. */
  clocks: boolean
  /** By partition: below this offset an operator has accepted what streams had lost. */
  readonly accepted: Map<number, number>
  /** By partition: ranges that an operator has let go, since Kafka had lost them. */
  readonly passedOver: Map<number, (readonly [from: number, to: number])[]>
  /** Records that had no entry yet when Kafka lost them: a row may still come from what was fetched before. */
  readonly unpublished: Set<string>
}

export interface CheckedWorld {
  readonly kafka: MemoryKafka
  readonly database: MemoryDatabase
  readonly streams: MemoryStreams
  readonly load: Load
  readonly business: Business
  readonly losses: Losses
  readonly members: readonly Member[]
}

const ledgerKey = (partition: number) => `${limits.consumer}/${definition.topic}/${partition}`
export const ledgerOf = ({ ledger }: MemoryDatabase, partition: number): MemoryLedgerRow | undefined =>
  ledger.get(ledgerKey(partition))
export const setLedger = ({ ledger }: MemoryDatabase, row: MemoryLedgerRow): void =>
  void ledger.set(ledgerKey(row.partition), row)

const fail = (what: string): never => {
  throw new Finding(what)
}

/** A map of rows that also knows them by their place. */
export class Rows extends Map<string, CopiedRow> {
  readonly places = new Map<string, CopiedRow>()
  /** Every place that ever had a row. */
  readonly ever = new Set<string>()

  override set(id: string, row: CopiedRow): this {
    const place = `${row.partition}/${row.offset}`
    this.places.set(place, row)
    this.ever.add(place)
    return super.set(id, row)
  }

  override clear(): void {
    this.places.clear()
    super.clear()
  }
}

/** A map of rejects that also knows which places ever had one. */
export class Rejects extends Map<string, CopiedReject> {
  readonly ever = new Set<string>()

  override set(key: string, reject: CopiedReject): this {
    this.ever.add(`${reject.partition}/${reject.offset}`)
    return super.set(key, reject)
  }
}

export function createChecker(world: CheckedWorld) {
  const { database, streams, load, losses, kafka } = world
  const rows = database.rows as Rows
  const rejects = database.rejects as Rejects
  /** By stream: so many of its entries were looked at. */
  const seen = new Map<string, number>()
  const partitions = Array.from({ length: kafka.partitions }, (_, partition) => partition)

  /** No entry without its row, in order, the producer's own bytes. */
  function lookAtNewEntries(): void {
    for (const [key, { entries }] of streams.streams) {
      const from = seen.get(key) ?? 0
      for (let at = from; at < entries.length; at++) {
        const { id, event } = entries[at] as (typeof entries)[0]
        const place = `${/\{(\d+)\}/.exec(key)?.[1]}/${id - 1}`
        const before = entries[at - 1]?.id ?? 0
        if (id <= before) fail(`${key}: entry ${id} behind ${before}`)
        const one = load.produced.get(place)
        if (one === undefined || one.text !== event || key !== `${one.family}:{${one.partition}}`)
          fail(`${key}: entry ${id} is not what was produced at ${place}`)
        if (!rows.places.has(place) && !(losses.rewound && rows.ever.has(place)))
          fail(`${key}: entry ${id} without a row at ${place}`)
      }
      seen.set(key, entries.length)
    }
  }

  /** A stream went back: what is there now was looked at before. */
  function entriesLost(): void {
    for (const key of seen.keys()) {
      seen.set(key, Math.min(seen.get(key) as number, streams.streams.get(key)?.entries.length ?? 0))
    }
  }

  const entryOf = (row: CopiedRow) => `events:${row.type.split('.')[2]}:{${row.partition}}`
  /** Let go by an operator, or gone from Kafka before anybody had read the partition. */
  const isPassedOver = (partition: number, offset: number) =>
    offset < (ledgerOf(database, partition)?.startOffset ?? 0) ||
    (losses.passedOver.get(partition) ?? []).some(([from, to]) => offset >= from && offset < to)
  /** Since the database went back, another copy of the event may have become its row, while the streams remember the first. */
  const isUncertain = (one: Produced) => losses.rewound && (load.copies.get(one.id) ?? 0) > 1
  /** A reject while a clock was wrong, a row when it was read again: by then the stream may be past it. */
  const isJudgedAnew = (place: string) => losses.rewound && losses.clocks && rejects.ever.has(place)

  /** Why a row may be without its entry. */
  function excused(row: CopiedRow, one: Produced): boolean {
    const place = `${row.partition}/${row.offset}`
    if (row.offset < (losses.accepted.get(row.partition) ?? 0) || isUncertain(one) || isJudgedAnew(place)) return true
    if (row.offset >= kafka.watermarks(row.partition).low) return false
    return losses.unpublished.has(place) || losses.redis
  }

  /** A process tells Kafka: below this offset everything is stored and published. */
  function settled(partition: number, nextOffset: number, fromOffset: number): void {
    for (let offset = fromOffset; offset < nextOffset; offset++) {
      const place = `${partition}/${offset}`
      const one = load.produced.get(place)
      if (one?.kind !== 'event' || isPassedOver(partition, offset) || losses.rewound || losses.redis) continue
      const row = rows.places.get(place)
      if (row === undefined) {
        if (![...rows.values()].some(({ eventId }) => eventId === one.id) && !losses.clocks)
          fail(`partition ${partition} is settled to ${nextOffset}, and ${place} is not stored`)
      } else if (!excused(row, one) && (streams.streams.get(entryOf(row))?.lastId ?? 0) <= offset)
        fail(`partition ${partition} is settled to ${nextOffset}, and ${place} is not published`)
    }
  }

  /** The law of the marks, and what a process may hold. */
  function lookInside(): void {
    for (const { isDead, name, service } of world.members) {
      if (isDead) continue
      const { assignment, budget, lanes } = service
      if (assignment.partitions.length > kafka.partitions)
        fail(`${name} holds ${assignment.partitions.length} partitions`)
      const waiting = lanes.reduce((sum, lane) => sum + lane.waiting.reduce((all, { bytes }) => all + bytes, 0), 0)
      if (waiting > budget.bytes) fail(`${name}: ${waiting} bytes wait in lanes, and ${budget.bytes} are in flight`)
      for (const state of assignment.states()) {
        const { consume, decode, persist, publish, settle } = state.marks.all()
        if (!(settle <= publish && publish <= persist && persist <= decode && decode <= consume))
          fail(`${name}: the law of the marks is broken in partition ${state.partition}`)
        if (state.arrivals.size > arrivalsMax)
          fail(`${name}: partition ${state.partition} remembers ${state.arrivals.size} arrivals`)
      }
    }
  }

  /** What idle processes still hold; null: nothing. */
  function held(): string | null {
    for (const { isDead, name, service } of world.members) {
      if (isDead) continue
      const { budget } = service
      if (budget.bytes !== 0) return `${name} has ${budget.bytes} bytes in flight`
    }
    return null
  }

  /** What is missing yet; null: every record has come to its end. */
  function missing(): string | null {
    for (const partition of partitions) {
      const { high } = kafka.watermarks(partition)
      const row = ledgerOf(database, partition)
      if ((row?.nextOffset ?? 0) < high)
        return `partition ${partition} is stored to ${row?.nextOffset ?? 'nothing'} of ${high}${row?.stopped ? `, stopped: ${row.stopped.code}` : ''}`
    }
    const entriesOf = new Map<string, Set<number>>()
    for (const [key, { entries }] of streams.streams) entriesOf.set(key, new Set(entries.map(({ id }) => id)))
    for (const [place, row] of rows.places) {
      const one = load.produced.get(place)
      if (one === undefined || excused(row, one)) continue
      if (!entriesOf.get(entryOf(row))?.has(row.offset + 1)) return `${entryOf(row)} lacks entry ${row.offset + 1}`
    }
    return null
  }

  /** Everything came to one end, exactly once. */
  function lookAtTheEnd(): void {
    const byEvent = new Map<string, CopiedRow>()
    for (const row of rows.values()) {
      if (byEvent.has(row.eventId)) fail(`event ${row.eventId} is two rows`)
      byEvent.set(row.eventId, row)
    }
    const rejectAt = new Map([...rejects.values()].map((one) => [`${one.partition}/${one.offset}`, one]))
    const tally = partitions.map(() => ({ stored: 0, rejected: 0, duplicated: 0, skipped: 0 }))
    for (const [place, one] of load.produced) {
      const { partition, offset, kind, id } = one
      const row = rows.places.get(place)
      const reject = rejectAt.get(place)
      const count = tally[partition] as (typeof tally)[0]
      if (row !== undefined && reject !== undefined) fail(`${place} is a row and a reject`)
      if (row !== undefined) {
        count.stored++
        if (kind !== 'event' || row.eventId !== id) fail(`${place} (${kind}) is a row of ${row.eventId}`)
      } else if (reject !== undefined) {
        count.rejected++
        const isClock = losses.clocks && reject.code === 'time_out_of_window'
        const right = { event: '', skip: '', bad: 'truncated', late: 'time_out_of_window', refused: 'refused' }[kind]
        if (reject.code !== right && !isClock) fail(`${place} (${kind}) is a reject: ${reject.code}`)
        if (reject.value?.toString() !== one.text) fail(`${place}: the reject does not hold the record's bytes`)
      } else if (isPassedOver(partition, offset)) continue
      else if (kind === 'skip') count.skipped++
      else if (kind !== 'event') fail(`${place} (${kind}) is nowhere`)
      else {
        if (!byEvent.has(id)) fail(`${place}: event ${id} is nowhere`)
        count.duplicated++
      }
    }
    for (const place of [...rows.places.keys(), ...rejectAt.keys()])
      if (!load.produced.has(place)) fail(`${place} was never produced`)
    for (const [partition, expected] of tally.entries()) {
      const row = ledgerOf(database, partition)
      if (row === undefined) continue
      for (const name of ['stored', 'rejected', 'duplicated', 'skipped'] as const)
        if (row[name] !== expected[name])
          fail(`the ledger of partition ${partition} counts ${row[name]} ${name}, and there are ${expected[name]}`)
    }
    for (const [key, { entries, lastId }] of streams.streams) {
      if ((entries.at(-1)?.id ?? 0) !== lastId) fail(`${key} ends at ${entries.at(-1)?.id}, not ${lastId}`)
      for (const { id } of entries) {
        const place = `${/\{(\d+)\}/.exec(key)?.[1]}/${id - 1}`
        const one = load.produced.get(place) as Produced
        const row = rows.places.get(place)
        const isGone = losses.rewound && (isUncertain(one) || isPassedOver(one.partition, one.offset) || losses.clocks)
        if (row === undefined && !isGone) fail(`${key}: entry ${id} has no row in the end`)
      }
    }
    const counted = world.business.series[0]?.read()[0]?.value ?? 0
    if (counted > rows.size && !losses.rewound) fail(`${counted} events were counted, and there are ${rows.size} rows`)
    const left = missing()
    if (left !== null) fail(left)
  }

  return { lookAtNewEntries, entriesLost, settled, lookInside, held, missing, lookAtTheEnd }
}

export type Checker = ReturnType<typeof createChecker>
