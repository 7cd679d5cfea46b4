/**
 * Looks at replicas every now and then, remembers what they tell, and draws up the picture of the moment. Whoever starts replicas watches them with
 * this, `millrace top` watches those it has found, and a replica watches itself.
 */
import { setInterval as every } from 'node:timers/promises'
import { rooms } from '../core/marks.ts'
import { quantiles, type Status } from '../core/status.ts'
import { partitionsOf, waiting } from './partitions.ts'
import type { LoadPicture, Picture, ReplicaPicture } from './picture.ts'
import { createRecorder, type Recorder } from './recorder.ts'
import { limitsOf, partitionsTold, phaseOf, usefulOf, worstLag } from './together.ts'
import { createUse, type UsageWatched } from './use.ts'

export type WatchedState =
  | { readonly kind: 'starting' | 'stopping' | 'ended' }
  /** Without a pid: whoever answers there. */
  | { readonly kind: 'serving'; readonly adminUrl: string; readonly pid?: number }
  | { readonly kind: 'waiting'; readonly untilMs: number }

export interface Watched {
  readonly name: string
  readonly state: WatchedState
  readonly restarts: number
}

/** What makes load, as far as it is shown. */
export interface LoadWatched {
  readonly stats: Omit<LoadPicture, 'perSecond'> | null
}

export interface WatchOptions {
  /** Read at each look: replicas may come and go. */
  readonly replicas: readonly Watched[]
  readonly now: () => number
  /** null: whatever the replicas say. */
  readonly consumer?: string | null
  readonly publishes?: boolean | null
  readonly partitions?: number | null
  readonly addresses?: Picture['addresses']
  readonly forMs?: number | null
  /** Of the load that will be made; without one there is none, and the clock runs from the first look. */
  readonly seed?: number
  readonly hint?: string
  readonly usage?: (pid: number) => UsageWatched | null
  /** Throws when there is no answer. */
  readonly ask?: (adminUrl: string) => Promise<Status>
  readonly lookMs?: number
  /** Looking keeps no process alive. */
  readonly unref?: boolean
  /** After everyone that was asked: null, or why there was no answer. */
  readonly onAnswer?: (name: string, failure: unknown) => void
}

export interface Watch {
  readonly recorder: Recorder
  /** null: what the replicas say of themselves. */
  phase: string | null
  /** What was sent before the load began. */
  primed: number
  /** Set once it runs; the clock of the picture starts with it. */
  load: LoadWatched | null
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

const lookMsDefault = 400
const answerMs = 2000
const ratesMs = 2000
const latenciesMs = 10_000
const historyMax = 600
const eventsMax = 50

export async function askStatus(adminUrl: string): Promise<Status> {
  const response = await fetch(`${adminUrl}/status.json`, { signal: AbortSignal.timeout(answerMs) })
  const status = response.ok ? ((await response.json()) as Partial<Status>) : {}
  if (status.rooms === undefined || status.partitions === undefined) throw new Error('is no replica')
  return status as Status
}

export function openWatch(options: WatchOptions): Watch {
  const { replicas, now, ask = askStatus } = options
  const recorder = createRecorder()
  const use = createUse(now, ratesMs, options.usage)
  const events: { elapsedMs: number; text: string }[] = []
  const storedHistory: number[] = []
  const p99History: number[] = []
  const lagHistory: number[] = []
  const loads: { atMs: number; produced: number }[] = []
  const silent = new Set<string>()
  const openedMs = now()
  let startedMs: number | null = null
  let load: LoadWatched | null = null
  let historyMs = 0
  const makesLoad = options.seed !== undefined
  const elapsed = () => now() - (startedMs ?? openedMs)

  async function askOne(replica: Watched): Promise<void> {
    const { name, state } = replica
    if (state.kind !== 'serving') return
    if (state.pid !== undefined) use.measure(name, state.pid)
    const failure = await ask(state.adminUrl).then(
      (status) => {
        recorder.add(name, status)
        use.tell(name, state.pid, status.residentBytes)
        return null
      },
      // Busy, or just gone: whoever supervises it says which, and the next look asks again.
      (error: unknown) => error ?? new Error('no answer'),
    )
    if (failure === null) silent.delete(name)
    else if (state.pid === undefined) silent.add(name)
    options.onAnswer?.(name, failure)
  }

  function cpuShare(name: string): number | null {
    const measured = use.cpuShare(name)
    if (measured !== null) return measured
    const share = recorder.window(ratesMs, name).cpuShare
    return Number.isFinite(share) ? share : null
  }

  /** Once a second, from the second itself. */
  function remember(): void {
    const passedMs = now() - historyMs
    // Negative: the clock was set back.
    if (passedMs >= 0 && passedMs < 950) return
    historyMs = now()
    const second = recorder.window(1000)
    const push = (history: number[], value: number) => {
      history.push(value)
      if (history.length > historyMax) history.shift()
    }
    push(storedHistory, second.stored)
    push(p99History, second.storedMs.count > 0 ? second.storedMs.percentile(0.99) : 0)
    push(lagHistory, worstLag(watch.serving()))
    const produced = load?.stats?.produced
    if (produced === undefined) return
    loads.push({ atMs: now(), produced })
    while (loads.length > 4) loads.shift()
  }

  async function look(): Promise<void> {
    await Promise.all(replicas.map(askOne))
    remember()
  }

  /** What it tells now; null of one that does not serve, or whose process is another by now. */
  function told({ name, state }: Watched): Status | null {
    if (state.kind !== 'serving' || silent.has(name)) return null
    const status = recorder.latest(name)
    return status !== null && (state.pid === undefined || state.pid === status.pid) ? status : null
  }

  function replicaPicture(replica: Watched): ReplicaPicture {
    const { name, state, restarts } = replica
    const status = told(replica)
    return {
      name: status?.replica ?? recorder.latest(name)?.replica ?? name,
      state: stateOf(replica, status),
      adminUrl: state.kind === 'serving' ? state.adminUrl : null,
      partitions: status?.partitions.length ?? 0,
      lagRecords: status?.lagRecords ?? null,
      lagSeconds: status?.lagSeconds ?? null,
      storedPerSecond: status === null ? 0 : recorder.window(ratesMs, name).stored,
      cpuShare: status === null ? null : cpuShare(name),
      residentBytes: status === null ? null : use.resident(name),
      restarts,
      reasons: [...new Set(status?.reasons ?? [])],
    }
  }

  function stateOf({ name, state }: Watched, status: Status | null): string | null {
    if (state.kind === 'waiting') return `starts again in ${Math.max(0, Math.ceil((state.untilMs - now()) / 1000))} s`
    if (state.kind !== 'serving') return state.kind
    if (silent.has(name)) return 'no answer'
    if (status === null) return 'starting'
    if (!status.live) return status.reasons[0] ?? 'not healthy'
    return status.phase === 'running' ? null : status.phase
  }

  const watch: Watch = {
    primed: 0,
    phase: null,
    forMs: options.forMs ?? null,
    recorder,
    peaks: use.peaks,
    look,
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
      const ref = options.unref !== true
      try {
        for await (const _ of every(options.lookMs ?? lookMsDefault, undefined, { signal, ref })) {
          await look()
          if (!signal.aborted) then()
        }
      } catch (error) {
        if (!signal.aborted) throw error
      }
    },
    serving: () => replicas.flatMap((replica) => told(replica) ?? []),
    picture() {
      const rates = recorder.window(ratesMs)
      const recent = recorder.window(latenciesMs)
      const totals = recorder.totals()
      const serving = watch.serving()
      const sum = (of: (status: Status) => number) => serving.reduce((total, status) => total + of(status), 0)
      const partitions = partitionsOf(serving)
      return {
        consumer: options.consumer ?? [...new Set(serving.map(({ consumer }) => consumer))].join(', '),
        phase: watch.phase ?? phaseOf(serving),
        hint: options.hint ?? '',
        atMs: now(),
        elapsedMs: makesLoad && startedMs === null ? 0 : elapsed(),
        forMs: watch.forMs,
        seed: options.seed ?? null,
        addresses: options.addresses ?? [],
        load: makesLoad ? loadPicture() : null,
        rooms: rooms.map((room) => ({
          room,
          perSecond: rates.perSecond[room],
          working: rates.working[room],
          times: rates.times[room],
          lagRecords: waiting(partitions, room),
        })),
        bottleneck: rates.bottleneck,
        limits: limitsOf(serving),
        usefulReplicas: usefulOf(serving),
        publishes: options.publishes ?? serving.every(({ publishes }) => publishes ?? true),
        storedPerSecond: rates.stored,
        publishedPerSecond: rates.published,
        lagRecords: sum(({ lagRecords }) => lagRecords ?? 0),
        lagSeconds: worstLag(serving),
        storedHistory,
        p99History,
        lagHistory,
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
        unassigned: Math.max(0, (options.partitions ?? partitionsTold(serving)) - partitions.length),
        rejectsByCode: recorder.rejectsByCode(),
        replicas: replicas.map(replicaPicture),
        partitions,
        events,
      }
    },
  }

  function loadPicture(): LoadPicture {
    const stats = load?.stats ?? null
    const first = loads[0]
    const last = loads.at(-1)
    const seconds = first && last ? (last.atMs - first.atMs) / 1000 : 0
    return {
      perSecond: first && last && seconds > 0 ? (last.produced - first.produced) / seconds : 0,
      produced: watch.primed + (stats?.produced ?? 0),
      waiting: stats?.waiting ?? 0,
      failed: stats?.failed ?? 0,
      lateMsP99: stats?.lateMsP99 ?? 0,
      ackMsP50: stats?.ackMsP50 ?? 0,
      ackMsP99: stats?.ackMsP99 ?? 0,
    }
  }
  return watch
}
