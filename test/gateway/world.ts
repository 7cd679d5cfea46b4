/** A server in a world of its own: jobs, replays and keys in memory that outlive it, as a database does. No port is opened. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { FatalError } from '../../src/core/errors.ts'
import type { JobStore, StoredJob } from '../../src/gateway/job.ts'
import { type Jobs, openJobs } from '../../src/gateway/jobs.ts'
import { replayPage } from '../../src/gateway/page.ts'
import { replayRoutes } from '../../src/gateway/replay-routes.ts'
import type { Answer, Route } from '../../src/gateway/route.ts'
import { createServer, type Keys, prefix } from '../../src/gateway/server.ts'
import { checkDescription, type ReplayDescription } from '../../src/replay/description.ts'
import type { Replay } from '../../src/replay/port.ts'
import { startReplay } from '../../src/replay/replay.ts'
import type { Replays } from '../../src/replay/replays.ts'
import type { StoredState } from '../../src/replay/store.ts'
import type { Saved } from '../../src/replay/target.ts'
import { eventAt, memorySource, memoryTarget } from '../replay/world.ts'

export const token = 'a token that is long enough'.replaceAll(' ', '-')
export const clock = {
  steadyMs: () => performance.now(),
  sleep: (ms: number, signal: AbortSignal) => sleep(ms, undefined, { signal }),
  coreTimes: () => null,
}

interface Row {
  description: ReplayDescription
  state: StoredState
  saved: Saved | null
  failure: string | null
}

/** What a database would keep. */
export interface Kept {
  readonly jobs: Map<string, Omit<StoredJob, 'replay'>>
  readonly rows: Map<string, Row>
  readonly requests: Map<string, { hash: string; answer: Answer | null }>
  readonly locks: Set<string>
  readonly target: ReturnType<typeof memoryTarget>
  readonly begun: string[]
}

export const keep = (): Kept => ({
  jobs: new Map(),
  rows: new Map(),
  requests: new Map(),
  locks: new Set(),
  target: memoryTarget(clock),
  begun: [],
})

export const jobStore = ({ jobs, rows }: Kept): JobStore => {
  const whole = (job: Omit<StoredJob, 'replay'>): StoredJob => {
    const row = rows.get(job.id)
    const micros = row?.saved?.position.after?.micros
    return {
      ...job,
      replay:
        row === undefined
          ? null
          : {
              state: row.state,
              failure: row.failure,
              events: row.saved?.events ?? 0,
              bytes: row.saved?.bytes ?? 0,
              atMs: micros === undefined ? null : Math.floor(micros / 1000),
              savedAt: '2026-11-21T12:00:00.000000Z',
            },
    }
  }
  const newestFirst = () =>
    [...jobs.values()].map(whole).sort((a, b) => (`${a.madeAt},${a.id}` < `${b.madeAt},${b.id}` ? 1 : -1))
  return {
    async insert(description, wanted) {
      const { id } = description
      if (jobs.has(id)) return false
      const madeAt = `2026-11-21T12:00:00.${String(jobs.size).padStart(6, '0')}Z`
      jobs.set(id, { id, description, wanted, failure: null, madeAt })
      return true
    },
    async remove(id) {
      jobs.delete(id)
    },
    async want(id, wanted, { description, failure = null } = {}) {
      const job = jobs.get(id)
      if (job !== undefined) jobs.set(id, { ...job, wanted, failure, description: description ?? job.description })
    },
    async find(id) {
      const job = jobs.get(id)
      return job === undefined ? null : whole(job)
    },
    async list(limit, after) {
      const behind = after === null ? null : `${after.madeAt},${after.id}`
      return newestFirst()
        .filter(({ madeAt, id }) => behind === null || `${madeAt},${id}` < behind)
        .slice(0, limit)
    },
    async waiting() {
      return newestFirst().filter(
        ({ wanted, replay }) =>
          wanted !== 'stopped' && (replay === null || replay.state === 'running' || replay.state === 'stopped'),
      )
    },
  }
}

/** Events a second apart, into one target in memory. */
export function memoryReplays(kept: Kept, events = 20): Replays {
  const { rows, locks, target, begun } = kept
  const source = () => memorySource(Array.from({ length: events }, (_, at) => eventAt(1000 + at * 1000, at)))
  function run(description: ReplayDescription, saved: Saved | null): Replay {
    const { id } = description
    if (locks.has(id)) throw new FatalError('REPLAY_BUSY', 'Another one writes there.', 'Wait.')
    locks.add(id)
    begun.push(id)
    const row = rows.get(id) as Row
    row.state = 'running'
    const save = async (one: Saved) => {
      row.saved = structuredClone(one)
    }
    const replay = startReplay({ description, source: source(), target, saved, save, clock })
    const done = replay.done
      .then(
        (progress) => {
          row.state = progress.state as StoredState
          return progress
        },
        (error: Error) => {
          row.state = 'failed'
          row.failure = error.message
          throw error
        },
      )
      .finally(() => locks.delete(id))
    done.catch(() => {})
    return { ...replay, done }
  }
  return {
    async begin(description) {
      checkDescription(description)
      if (description.target.kind === 'redis' && description.target.stream === 'replay:full')
        throw new FatalError('REDIS_FULL', 'Redis is full.', 'Make room.')
      rows.set(description.id, { description, state: 'running', saved: null, failure: null })
      return run(description, null)
    },
    async resume(id, changes) {
      const row = rows.get(id)
      if (row === undefined || row.state === 'done' || row.state === 'cancelled')
        throw new FatalError('REPLAY_UNKNOWN', `There is no replay ${id}.`, 'Look.')
      return run({ ...row.description, ...changes }, row.saved)
    },
    async discard(id) {
      const row = rows.get(id)
      if (row !== undefined) row.state = 'cancelled'
    },
    list: async () => [],
    estimate: async () => ({
      events: 20,
      bytes: 200,
      exact: true,
      postgres: 20,
      kafka: 0,
      firstMs: 1000,
      lastMs: 20_000,
    }),
    warnings: async ({ select }) => select.types.map((type) => `No stored event has the type '${type}'`),
  }
}

const memoryKeys = ({ requests }: Kept): Keys => ({
  async carryOut(key, hash, _, work) {
    const before = requests.get(key)
    if (before?.answer) return { ...before.answer, headers: { 'idempotency-replayed': 'true' } }
    requests.set(key, { hash, answer: null })
    const answer = await work(before !== undefined)
    requests.set(key, { hash, answer })
    return answer
  },
})

export interface World {
  readonly app: FastifyInstance
  readonly jobs: Jobs
  readonly faults: unknown[]
  /** As Ctrl-C does. */
  stop(): Promise<void>
  get(path: string): Promise<Heard>
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<Heard>
  delete(path: string): Promise<Heard>
}

export interface Heard {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: what a test looks into
  readonly body: any
  readonly headers: Readonly<Record<string, unknown>>
}

export function openWorld(
  kept: Kept,
  { events = 20, replaysMax = 4, timeoutMs = 5000, more = [] as readonly Route[] } = {},
): World {
  const replays = memoryReplays(kept, events)
  const faults: unknown[] = []
  const onFault = (error: unknown) => faults.push(error)
  const jobs = openJobs({ replays, store: jobStore(kept), replaysMax, onFault })
  const stopped = new AbortController()
  let ids = 0
  const app = createServer({
    routes: [
      ...replayRoutes({ jobs, replays, directory: '/srv/replays', newId: () => `r-${++ids}`, sleep: clock.sleep }),
      ...more,
    ],
    token,
    version: '1.2.3',
    bodyBytesMax: 4096,
    timeoutMs,
    keys: memoryKeys(kept),
    pages: { '/': replayPage() },
    stopped: stopped.signal,
    onFault,
  })
  async function send(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown, headers = {}): Promise<Heard> {
    const {
      statusCode,
      payload,
      headers: got,
    } = await app.inject({
      method,
      url: `${prefix}${path}`,
      headers: { authorization: `Bearer ${token}`, ...headers },
      ...(body !== undefined && { payload: body as object }),
    })
    const isJson = /json/.test(String(got['content-type']))
    return { status: statusCode, body: isJson ? JSON.parse(payload) : payload, headers: got }
  }
  return {
    app,
    jobs,
    faults,
    async stop() {
      stopped.abort(new Error('stopped'))
      await app.close()
      await jobs.stop()
    },
    get: (path) => send('GET', path),
    post: (path, body, headers) => send('POST', path, body, headers),
    delete: (path) => send('DELETE', path),
  }
}
