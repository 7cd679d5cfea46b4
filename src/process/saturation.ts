/**
 * How busy this process is and what limits it, from its own counters, looked at once a second and told over the last ten: what the metrics `bottleneck`
 * and `useful_replicas` are made from.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { rooms } from '../core/marks.ts'
import { roomStates } from '../core/metrics.ts'
import { Pace } from '../core/pace.ts'
import type { Metrics } from '../core/registry.ts'
import { behindSeconds, type Load, limitingRoom, usefulReplicas } from '../core/replicas.ts'
import type { PartitionLag } from './lag.ts'

export interface Saturation {
  /** To be called once a second. */
  look(): void
  load(): Load
  /** How many replicas would be of use; null: not known, or not yet. */
  useful(): number | null
  close(): void
}

export interface SaturationOptions {
  readonly metrics: Metrics
  readonly steadyMs: () => number
  /** Books the rooms' seconds up to now. */
  readonly flush: () => void
  readonly partitions: number
  readonly lags: () => readonly PartitionLag[]
}

const workRooms = ['decode', 'persist', 'publish'] as const
const servers = ['persist', 'publish'] as const
type WorkRoom = (typeof workRooms)[number]

interface Look {
  readonly atMs: number
  readonly cpuMs: number
  readonly worked: Readonly<Record<WorkRoom, number>>
  readonly passed: Readonly<Record<WorkRoom, number>>
  readonly rows: Readonly<Record<(typeof servers)[number], number>>
  readonly batches: Readonly<Record<(typeof servers)[number], number>>
}

const windowLooks = 10
/** The monitor measures from one of its own ticks to the next. */
const tickMs = 20

export function watchSaturation(options: SaturationOptions): Saturation {
  const { metrics, steadyMs, flush, partitions, lags } = options
  const looks: Look[] = []
  const paces = { persist: new Pace(), publish: new Pace() }
  const monitor = monitorEventLoopDelay({ resolution: tickMs })
  monitor.enable()
  let delays: readonly (readonly [quantile: number, seconds: number])[] = []
  let sinceNoted = 0

  const byRoom = <R extends WorkRoom>(names: readonly R[], of: (room: R) => number) =>
    Object.fromEntries(names.map((room) => [room, of(room)])) as Record<R, number>

  function take(): Look {
    flush()
    const { user, system } = process.threadCpuUsage()
    const seconds = (room: WorkRoom, state: (typeof roomStates)[number]) =>
      metrics.sum('room_seconds_total', { room, state })
    return {
      atMs: steadyMs(),
      cpuMs: (user + system) / 1000,
      worked: byRoom(workRooms, (room) => seconds(room, 'working')),
      passed: byRoom(workRooms, (room) => roomStates.reduce((sum, state) => sum + seconds(room, state), 0)),
      rows: { persist: metrics.sum('rows_total'), publish: metrics.sum('entries_total') },
      batches: byRoom(servers, (room) => metrics.sum('batches_total', { room })),
    }
  }

  function load(): Load {
    const all = lags()
    const first = looks[0]
    const last = looks.at(-1)
    const share = (room: WorkRoom) => {
      const passed = first && last ? last.passed[room] - first.passed[room] : 0
      return first && last && passed > 0 ? (last.worked[room] - first.worked[room]) / passed : 0
    }
    const elapsedMs = first && last ? last.atMs - first.atMs : 0
    return {
      partitions,
      assigned: all.length,
      lagging: all.filter(({ seconds }) => seconds >= behindSeconds).length,
      lagSeconds: all.reduce((worst, { seconds }) => Math.max(worst, seconds), 0),
      working: byRoom(workRooms, share),
      threadShare: first && last && elapsedMs > 0 ? Math.min(1, (last.cpuMs - first.cpuMs) / elapsedMs) : 0,
      stretch: { persist: paces.persist.stretch, publish: paces.publish.stretch },
    }
  }

  /** A process that has just begun looks idle. */
  const useful = () => (looks.length > windowLooks ? usefulReplicas(load()) : null)

  function noteWindow(from: Look, to: Look): void {
    for (const room of servers) {
      const seconds = to.worked[room] - from.worked[room]
      paces[room].note(to.atMs, seconds, to.rows[room] - from.rows[room], to.batches[room] - from.batches[room])
    }
    delays = delaysOf(monitor)
    monitor.reset()
  }

  metrics.observe('bottleneck', () => {
    const limiting = limitingRoom(load())
    return rooms.map((room) => [{ room }, room === limiting ? 1 : 0])
  })
  metrics.observe('useful_replicas', () => {
    const known = useful()
    return known === null ? [] : [[{}, known]]
  })
  metrics.observe('room_stretch', () =>
    servers.flatMap((room) => {
      const { stretch } = paces[room]
      return stretch === null ? [] : [[{ room }, stretch] as const]
    }),
  )
  metrics.observe('main_thread_share', () => [[{}, load().threadShare]])
  metrics.observe('event_loop_delay_seconds', () => delays.map(([quantile, seconds]) => [{ quantile }, seconds]))

  return {
    look() {
      looks.push(take())
      if (looks.length > windowLooks + 1) looks.shift()
      sinceNoted++
      if (sinceNoted < windowLooks || looks.length <= windowLooks) return
      sinceNoted = 0
      noteWindow(looks[0] as Look, looks.at(-1) as Look)
    },
    load,
    useful,
    close: () => void monitor.disable(),
  }
}

function delaysOf(monitor: ReturnType<typeof monitorEventLoopDelay>) {
  return [0.5, 0.99].map((quantile) => {
    const ms = monitor.percentile(quantile * 100) / 1e6 - tickMs
    return [quantile, Math.max(0, ms) / 1000] as const
  })
}
