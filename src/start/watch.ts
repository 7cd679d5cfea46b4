/** Looks at the replicas and the simulator a few times a second and draws up the picture of the moment. */
import { setInterval as every } from 'node:timers/promises'
import { rooms } from '../core/marks.ts'
import { quantiles, type Status } from '../core/status.ts'
import type { Senders } from '../simulate/senders.ts'
import type { Picture, ReplicaPicture } from './picture.ts'
import { createRecorder, type Recorder } from './recorder.ts'
import type { Replica } from './supervisor.ts'
import { readUsage } from './usage.ts'

export interface WatchOptions {
  readonly consumer: string
  readonly addresses: Picture['addresses']
  readonly publishes: boolean
  readonly partitions: number
  readonly forMs: number | null
  readonly seed: number
  readonly replicas: readonly Replica[]
  readonly now: () => number
}

export interface Watch {
  readonly recorder: Recorder
  phase: string
  /** What was sent before the load began. */
  primed: number
  /** Set once it runs; the clock of the picture starts with it. */
  load: Senders | null
  /** How long the load is to last; null: until somebody stops it. */
  forMs: number | null
  /** Highest resident memory of each replica over all its lives, in bytes. */
  readonly peaks: ReadonlyMap<string, number>
  event(text: string): void
  /** Asks everybody once. */
  look(): Promise<void>
  /** Looks, and calls `then` after each look, until aborted. */
  run(then: () => void, signal: AbortSignal): Promise<void>
  /** The last status of every replica that serves. */
  serving(): Status[]
  picture(): Picture
}

const lookMs = 400
const answerMs = 2000
const ratesMs = 2000
const latenciesMs = 10_000
const historyMax = 600
const eventsMax = 50

export function openWatch(options: WatchOptions): Watch {
  const { replicas, now } = options
  const recorder = createRecorder()
  const peaks = new Map<string, number>()
  const events: { elapsedMs: number; text: string }[] = []
  const storedHistory: number[] = []
  const p99History: number[] = []
  const cpu = new Map<string, { pid: number; told: { atMs: number; cpuSeconds: number }[] }>()
  const resident = new Map<string, number>()
  const loads: { atMs: number; produced: number }[] = []
  const openedMs = now()
  let startedMs: number | null = null
  let load: Senders | null = null
  let phase = 'starting'
  let historyMs = 0
  const elapsed = () => now() - (startedMs ?? openedMs)

  async function ask(replica: Replica): Promise<void> {
    const { state } = replica
    if (state.kind !== 'serving') return
    measure(replica.name, state.pid)
    try {
      const response = await fetch(`${state.adminUrl}/status.json`, { signal: AbortSignal.timeout(answerMs) })
      const status = (await response.json()) as Status
      recorder.add(replica.name, status)
      peaks.set(replica.name, Math.max(peaks.get(replica.name) ?? 0, status.residentBytes))
      if (!resident.has(replica.name)) resident.set(replica.name, status.residentBytes)
    } catch {
      // Busy, or just gone: the supervisor says which, and the next look asks again.
    }
  }

  function measure(name: string, pid: number): void {
    const usage = readUsage(pid)
    if (usage === null) return
    resident.set(name, usage.residentBytes)
    peaks.set(name, Math.max(peaks.get(name) ?? 0, usage.residentBytesPeak))
    const before = cpu.get(name)
    const told = before?.pid === pid ? before.told : []
    told.push({ atMs: now(), cpuSeconds: usage.cpuSeconds })
    while (told.length > 2 && (told[1] as { atMs: number }).atMs < now() - ratesMs) told.shift()
    cpu.set(name, { pid, told })
  }

  function cpuShare(name: string): number | null {
    const told = cpu.get(name)?.told ?? []
    const first = told[0]
    const last = told.at(-1)
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return null
    return ((last.cpuSeconds - first.cpuSeconds) * 1000) / (last.atMs - first.atMs)
  }

  /** Once a second, from the second itself. */
  function remember(): void {
    if (now() - historyMs < 1000) return
    historyMs = now()
    const second = recorder.window(1000)
    storedHistory.push(second.stored)
    p99History.push(second.storedMs.count > 0 ? second.storedMs.percentile(0.99) : 0)
    if (storedHistory.length > historyMax) storedHistory.shift()
    if (p99History.length > historyMax) p99History.shift()
    const produced = load?.stats?.produced
    if (produced === undefined) return
    loads.push({ atMs: now(), produced })
    while (loads.length > 4) loads.shift()
  }

  async function look(): Promise<void> {
    await Promise.all(replicas.map(ask))
    remember()
  }

  function replicaPicture(replica: Replica): ReplicaPicture {
    const { name, state, restarts } = replica
    const status = recorder.latest(name)
    const serves = state.kind === 'serving' && status?.pid === state.pid
    return {
      name,
      state: stateOf(replica, serves ? status : null),
      adminUrl: state.kind === 'serving' ? state.adminUrl : null,
      partitions: serves ? status.partitions.length : 0,
      lagRecords: serves ? status.lagRecords : null,
      lagSeconds: serves ? status.lagSeconds : null,
      storedPerSecond: serves ? recorder.window(ratesMs, name).stored : 0,
      cpuShare: serves ? cpuShare(name) : null,
      residentBytes: serves ? (resident.get(name) ?? null) : null,
      restarts,
    }
  }

  function stateOf({ state }: Replica, status: Status | null): string | null {
    if (state.kind === 'waiting') return `starts again in ${Math.max(0, Math.ceil((state.untilMs - now()) / 1000))} s`
    if (state.kind !== 'serving') return state.kind
    if (status === null) return 'starting'
    if (!status.live) return status.reasons[0] ?? 'not healthy'
    return status.phase === 'running' ? null : status.phase
  }

  const watch: Watch = {
    primed: 0,
    forMs: options.forMs,
    recorder,
    peaks,
    look,
    get phase() {
      return phase
    },
    set phase(text) {
      phase = text
    },
    get load() {
      return load
    },
    set load(running) {
      load = running
      loads.length = 0
      startedMs = now()
    },
    event(text) {
      events.push({ elapsedMs: elapsed(), text })
      if (events.length > eventsMax) events.shift()
    },
    async run(then, signal) {
      try {
        for await (const _ of every(lookMs, undefined, { signal })) {
          await look()
          if (!signal.aborted) then()
        }
      } catch (error) {
        if (!signal.aborted) throw error
      }
    },
    serving() {
      return replicas.flatMap(({ name, state }) => {
        const status = recorder.latest(name)
        return state.kind === 'serving' && status?.pid === state.pid ? [status] : []
      })
    },
    picture() {
      const rates = recorder.window(ratesMs)
      const recent = recorder.window(latenciesMs)
      const stats = load?.stats ?? null
      const totals = recorder.totals()
      const rejectsByCode = recorder.rejectsByCode()
      const serving = watch.serving()
      const sum = (of: (status: Status) => number) => serving.reduce((total, status) => total + of(status), 0)
      const first = loads[0]
      const last = loads.at(-1)
      const loadSeconds = first && last ? (last.atMs - first.atMs) / 1000 : 0
      return {
        consumer: options.consumer,
        phase,
        hint: 'Ctrl-C ends the run: the fleet catches up, drains, and all is verified',
        elapsedMs: startedMs === null ? 0 : elapsed(),
        forMs: watch.forMs,
        seed: options.seed,
        addresses: options.addresses,
        load: {
          perSecond: first && last && loadSeconds > 0 ? (last.produced - first.produced) / loadSeconds : 0,
          produced: watch.primed + (stats?.produced ?? 0),
          waiting: stats?.waiting ?? 0,
          failed: stats?.failed ?? 0,
          lateMsP99: stats?.lateMsP99 ?? 0,
          ackMsP50: stats?.ackMsP50 ?? 0,
          ackMsP99: stats?.ackMsP99 ?? 0,
        },
        rooms: rooms.map((room) => ({ room, perSecond: rates.perSecond[room], working: rates.working[room] })),
        bottleneck: rates.bottleneck,
        publishes: options.publishes,
        storedPerSecond: rates.stored,
        publishedPerSecond: rates.published,
        storedHistory,
        p99History,
        stored: quantiles(recent.storedMs),
        published: quantiles(recent.publishedMs),
        batchRows: quantiles(recent.batchRows),
        bytesInFlight: sum((status) => status.bytesInFlight),
        inFlightBytesMax: sum((status) => status.inFlightBytesMax),
        totals: {
          rows: totals.rows ?? 0,
          entries: totals.entries ?? 0,
          duplicates: totals.duplicates ?? 0,
          rejects: totals.rejects ?? 0,
          skips: totals.skips ?? 0,
          fenced: totals.fenced ?? 0,
          retries: totals.retries ?? 0,
          rebalances: totals.rebalances ?? 0,
        },
        restarts: replicas.reduce((total, { restarts }) => total + restarts, 0),
        unassigned: Math.max(0, options.partitions - sum((status) => status.partitions.length)),
        rejectsByCode,
        replicas: replicas.map(replicaPicture),
        events,
      }
    },
  }
  return watch
}
