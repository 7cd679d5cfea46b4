/**
 * Remembers what the replicas tell, and works out from it what happened in the last second, in the last ten, and since the warm-up. Pure: statuses
 * and times come in, figures go out.
 *
 * A replica that dies and is started again counts from zero: each of its lives is remembered by itself, so that nothing counted is lost, except what
 * happened between the last look and the death.
 */
import { LatencyHistogram, type LatencySnapshot } from '../core/latency.ts'
import { byRoom, type Room } from '../core/marks.ts'
import { type RoomState, roomStates } from '../core/metrics.ts'
import { bottleneckOf, type Status } from '../core/status.ts'

type Totals = Readonly<Record<keyof Status['totals'], number>>

export interface Window {
  readonly seconds: number
  /** Rows per second: what became durable. */
  readonly stored: number
  readonly published: number
  readonly perSecond: Readonly<Record<Room, number>>
  /** Share of its time that a room worked; null for the rooms that keep no clock. */
  readonly working: Readonly<Record<Room, number | null>>
  /** The same time in full: the shares add up to 1. */
  readonly times: Readonly<Record<Room, Readonly<Record<RoomState, number>> | null>>
  /** Seconds of CPU per second, as the processes count them themselves; NaN where one does not tell. */
  readonly cpuShare: number
  readonly bottleneck: Room | 'source' | null
  readonly batchRows: LatencyHistogram
  readonly storedMs: LatencyHistogram
  readonly publishedMs: LatencyHistogram
}

export interface Recorder {
  add(replica: string, status: Status): void
  latest(replica: string): Status | null
  /** Over all replicas, or one of them. */
  window(spanMs: number, replica?: string): Window
  totals(): Totals
  rejectsByCode(): Record<string, number>
  /** From now on counts for sinceMark(): call it when the warm-up is over. */
  mark(): void
  sinceMark(): { readonly storedMs: LatencyHistogram; readonly publishedMs: LatencyHistogram }
}

/** One life of a replica: what it told in the last seconds, oldest first, and what it had told at the mark. */
interface Life {
  readonly replica: string
  readonly told: Status[]
  marked: Status | null
}

const remembered = 12_000

export function createRecorder(): Recorder {
  const lives = new Map<string, Life>()
  const ofReplica = (replica: string) => [...lives.values()].filter((life) => life.replica === replica)
  const last = (life: Life) => life.told.at(-1) as Status

  return {
    add(replica, status) {
      const key = `${replica}/${status.pid}/${status.startedMs}`
      const life = lives.get(key) ?? { replica, told: [], marked: null }
      lives.set(key, life)
      // A clock that was set back: what was told before would stay for as long as it is ahead.
      if (life.told.length > 0 && status.atMs < last(life).atMs) life.told.length = 0
      life.told.push(status)
      while (life.told.length > 2 && (life.told[1] as Status).atMs < status.atMs - remembered) life.told.shift()
      // Of a life that is over its last word is enough.
      for (const other of ofReplica(replica)) {
        if (other !== life && last(other).atMs < status.atMs - remembered) other.told.splice(0, other.told.length - 1)
      }
    },

    latest(replica) {
      const life = ofReplica(replica).at(-1)
      return life === undefined ? null : last(life)
    },

    window(spanMs, replica) {
      const seen = replica === undefined ? [...lives.values()] : ofReplica(replica)
      const nowMs = seen.reduce((latest, life) => Math.max(latest, last(life).atMs), 0)
      const fromMs = nowMs - spanMs
      // A life that ended before the window has nothing to say in it.
      const changes = seen
        .filter((life) => last(life).atMs > fromMs)
        .map((life) => change(startOf(life, fromMs), last(life)))
      return windowOf(changes)
    },

    totals() {
      const sum: Record<string, number> = {}
      for (const life of lives.values()) {
        for (const [name, value] of Object.entries(last(life).totals)) sum[name] = (sum[name] ?? 0) + value
      }
      return sum as Totals
    },

    rejectsByCode() {
      const sum: Record<string, number> = {}
      for (const life of lives.values()) {
        for (const [code, value] of Object.entries(last(life).rejectsByCode)) sum[code] = (sum[code] ?? 0) + value
      }
      return sum
    },

    mark() {
      for (const life of lives.values()) life.marked = last(life)
    },

    sinceMark() {
      const storedMs = new LatencyHistogram()
      const publishedMs = new LatencyHistogram()
      for (const life of lives.values()) {
        storedMs.merge(difference(life.marked?.storedMs, last(life).storedMs))
        publishedMs.merge(difference(life.marked?.publishedMs, last(life).publishedMs))
      }
      return { storedMs, publishedMs }
    },
  }
}

/** The last status at or before the window's beginning; null where the life began inside of it and so counts from zero. */
function startOf(life: Life, fromMs: number): Status | null {
  return (
    life.told.findLast(({ atMs }) => atMs <= fromMs) ??
    ((life.told[0] as Status).startedMs >= fromMs ? null : (life.told[0] as Status))
  )
}

interface Change {
  readonly seconds: number
  readonly rows: number
  readonly entries: number
  readonly records: Readonly<Record<Room, number>>
  readonly times: Readonly<Record<RoomState, Readonly<Record<Room, number>>>>
  readonly cpuSeconds: number
  readonly batchRows: LatencyHistogram
  readonly storedMs: LatencyHistogram
  readonly publishedMs: LatencyHistogram
}

function change(from: Status | null, to: Status): Change {
  const perRoom = (of: (status: Status, room: Room) => number) =>
    byRoom((room) => of(to, room) - (from === null ? 0 : of(from, room)))
  return {
    seconds: (to.atMs - (from?.atMs ?? to.startedMs)) / 1000,
    rows: to.totals.rows - (from?.totals.rows ?? 0),
    entries: to.totals.entries - (from?.totals.entries ?? 0),
    records: perRoom((status, room) => status.rooms[room].records),
    times: Object.fromEntries(
      roomStates.map((state) => [state, perRoom((status, room) => status.rooms[room].seconds[state])]),
    ) as Change['times'],
    cpuSeconds: (to.cpuSeconds ?? Number.NaN) - (from === null ? 0 : (from.cpuSeconds ?? Number.NaN)),
    batchRows: difference(from?.batchRows, to.batchRows),
    storedMs: difference(from?.storedMs, to.storedMs),
    publishedMs: difference(from?.publishedMs, to.publishedMs),
  }
}

function difference(from: LatencySnapshot | undefined, to: LatencySnapshot): LatencyHistogram {
  const histogram = LatencyHistogram.from(to)
  return from === undefined ? histogram : histogram.since(from)
}

function windowOf(changes: readonly Change[]): Window {
  const sum = (of: (change: Change) => number) => changes.reduce((total, one) => total + of(one), 0)
  const rate = (of: (change: Change) => number) => sum((one) => (one.seconds > 0 ? of(one) / one.seconds : 0))
  const times = byRoom((room) => {
    const spent = roomStates.map((state) => [state, sum((one) => one.times[state][room])] as const)
    const passed = spent.reduce((total, [, seconds]) => total + seconds, 0)
    if (passed <= 0) return null
    return Object.fromEntries(spent.map(([state, seconds]) => [state, seconds / passed])) as Record<RoomState, number>
  })
  const working = byRoom((room) => times[room]?.working ?? null)
  const merged = (of: (change: Change) => LatencyHistogram) => {
    const all = new LatencyHistogram()
    for (const one of changes) all.merge(of(one))
    return all
  }
  return {
    seconds: changes.reduce((longest, { seconds }) => Math.max(longest, seconds), 0),
    stored: rate((one) => one.rows),
    published: rate((one) => one.entries),
    perSecond: byRoom((room) => rate((one) => one.records[room])),
    working,
    times,
    cpuShare: rate((one) => one.cpuSeconds),
    bottleneck: bottleneckOf(
      byRoom((room) => working[room] ?? 0),
      byRoom((room) => sum((one) => one.records[room])),
    ),
    batchRows: merged((one) => one.batchRows),
    storedMs: merged((one) => one.storedMs),
    publishedMs: merged((one) => one.publishedMs),
  }
}
