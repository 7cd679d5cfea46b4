/**
 * Replays that somebody asked this server for. What is wanted is written down before anything happens, so whoever starts after a crash knows what to go on
 * with: a job whose replay was never begun is begun, one that stands in the middle is gone on with, and what a person has stopped stays stopped. Which of
 * several servers carries a job says the lock of its target (replay/store.ts).
 */
import { type Code, explain, FatalError } from '../core/errors.ts'
import { checkDescription, checkSpeed, type ReplayDescription } from '../replay/description.ts'
import type { Replay } from '../replay/port.ts'
import type { Replays } from '../replay/replays.ts'
import { type Command, isOver, type Job, type JobStore, type StoredJob, stateOf } from './job.ts'
import { RequestError } from './problem.ts'

export interface JobsOptions {
  readonly replays: Pick<Replays, 'begin' | 'resume' | 'discard'>
  readonly store: JobStore
  readonly replaysMax: number
  readonly onFault: (error: unknown, id: string) => void
}

export interface Jobs {
  /** `wanted`: paused is one that stands still at its beginning. */
  begin(description: ReplayDescription, wanted: 'running' | 'paused', signal: AbortSignal): Promise<Job>
  find(id: string): Promise<Job>
  list(limit: number, after: { readonly madeAt: string; readonly id: string } | null): Promise<Job[]>
  control(id: string, command: Command, signal: AbortSignal): Promise<Job>
  /** Takes up what waits, as much of it as may run at a time; and obeys what other servers were told. */
  takeUp(signal: AbortSignal): Promise<void>
  /** All come to a mark that they can be gone on from; what is wanted stays. */
  stop(): Promise<void>
}

/** What may be otherwise in a moment: such a job is tried again. */
const passing: readonly Code[] = [
  'REPLAY_BUSY',
  'KAFKA_UNREACHABLE',
  'POSTGRES_UNREACHABLE',
  'POSTGRES_BUSY',
  'REDIS_UNREACHABLE',
  'REDIS_BUSY',
]

export function openJobs({ replays, store, replaysMax, onFault }: JobsOptions): Jobs {
  const running = new Map<string, Replay>()
  const starting = new Set<string>()
  let isStopping = false
  let commands = 0

  function take(id: string): void {
    if (isStopping) throw new RequestError('REQUEST_LIMIT', 'The server stops.', 'Ask the next one.', { status: 503 })
    if (running.has(id) || starting.has(id)) throw isThere(id)
    if (running.size + starting.size >= replaysMax) {
      throw new RequestError(
        'REQUEST_LIMIT',
        `${replaysMax} replays run already.`,
        'Wait for one to end, stop one, or raise gatewayReplaysMax.',
      )
    }
    starting.add(id)
  }

  /** Needs its place in `starting`. */
  async function start(
    { id, description, wanted, replay: stored }: Pick<StoredJob, 'id' | 'description' | 'wanted' | 'replay'>,
    signal: AbortSignal,
  ) {
    try {
      // One that is to stand still is made to go by steps: then no event slips out before it is told to pause.
      const speed = wanted === 'paused' ? 'step' : description.speed
      const replay =
        stored === null
          ? await replays.begin({ ...description, speed }, signal)
          : await replays.resume(id, { speed, ratePerSecond: description.ratePerSecond })
      running.set(id, replay)
      replay.done
        .catch((error: unknown) => {
          if (!(error instanceof FatalError)) onFault(error, id)
        })
        .finally(() => running.delete(id))
      if (isStopping) replay.stop()
    } finally {
      starting.delete(id)
    }
  }

  /** It was refused: nothing of it is to be found later, unless it has begun elsewhere. Where the database is away, it is tried again. */
  async function forget(id: string): Promise<void> {
    if ((await store.find(id))?.replay === null) await store.remove(id)
  }

  async function find(id: string): Promise<Job> {
    const stored = await store.find(id)
    if (stored === null)
      throw new FatalError('REPLAY_UNKNOWN', `There is no replay ${id}.`, 'The list shows the ones there are.')
    return jobOf(stored)
  }

  function jobOf(stored: StoredJob): Job {
    const progress = running.get(stored.id)?.snapshot() ?? null
    return { ...stored, state: progress?.state ?? stateOf(stored), progress }
  }

  async function resume(job: Job, signal: AbortSignal): Promise<void> {
    const { id, description } = job
    const replay = running.get(id)
    if (replay === undefined && isOver(job)) throw over(job)
    if (replay !== undefined) {
      await store.want(id, 'running')
      replay.setSpeed(description.speed)
      replay.resume()
    } else {
      take(id)
      // Where another server has it this is refused, and what is wanted stays as it was.
      await start({ ...job, wanted: 'running' }, signal)
      await store.want(id, 'running')
    }
  }

  async function cancel(job: Job): Promise<void> {
    const { id } = job
    if (isOver(job)) throw over(job)
    const replay = running.get(id)
    if (replay !== undefined) {
      await store.want(id, 'stopped')
      replay.cancel()
      await replay.done.catch(() => {})
    } else if (job.replay === null) await store.remove(id)
    else {
      await replays.discard(id)
      await store.want(id, 'stopped')
    }
  }

  /** What another server was told about a replay that runs here. */
  async function obey(): Promise<void> {
    for (const [id, replay] of running) {
      const before = commands
      const wanted = (await store.find(id))?.wanted
      // A command that came meanwhile knows better, and one that is under way acts behind this.
      if (commands !== before) continue
      if (wanted === 'stopped') replay.stop()
      if (wanted === 'paused' && replay.snapshot().state === 'running') replay.pause()
    }
  }

  /** Of the commands that only make sense where it runs. */
  function here({ id, state }: Job): Replay {
    const replay = running.get(id)
    if (replay !== undefined) return replay
    throw new FatalError('REPLAY_BUSY', `The replay ${id} does not run here: it is ${state}.`, 'Resume it first.')
  }

  return {
    find,
    async begin(description, wanted, signal) {
      checkDescription(description)
      const { id } = description
      take(id)
      try {
        if (!(await store.insert(description, wanted))) throw isThere(id)
        try {
          await start({ id, description, wanted, replay: null }, signal)
        } catch (error) {
          await forget(id).catch((other: unknown) => onFault(other, id))
          throw error
        }
      } finally {
        starting.delete(id)
      }
      return find(id)
    },

    list: async (limit, after) => (await store.list(limit, after)).map(jobOf),

    async control(id, command, signal) {
      commands++
      const job = await find(id)
      switch (command.action) {
        case 'resume':
          await resume(job, signal)
          break
        case 'pause':
          if (isOver(job)) throw over(job)
          await store.want(id, 'paused')
          running.get(id)?.pause()
          break
        case 'stop':
          if (isOver(job)) throw over(job)
          await store.want(id, 'stopped')
          running.get(id)?.stop()
          await running.get(id)?.done.catch(() => {})
          break
        case 'cancel':
          await cancel(job)
          if (job.replay === null && job.progress === null) return { ...job, state: 'cancelled' }
          break
        case 'speed':
          if (isOver(job)) throw over(job)
          checkSpeed(command.speed)
          await store.want(id, job.wanted, { description: { ...job.description, speed: command.speed } })
          // One that stands still keeps standing; it is let go at this speed.
          if (job.wanted === 'running') running.get(id)?.setSpeed(command.speed)
          break
        case 'step':
          here(job).step(command.count)
          if (job.wanted === 'running') await store.want(id, 'paused')
          break
        case 'jump':
          here(job).jump(command.toMs)
          break
      }
      return find(id)
    },

    async takeUp(signal) {
      await obey()
      for (const job of await store.waiting()) {
        const { id } = job
        if (isStopping || running.size + starting.size >= replaysMax) return
        if (running.has(id) || starting.has(id)) continue
        take(id)
        try {
          await start(job, signal)
        } catch (error) {
          if (error instanceof FatalError && passing.includes(error.code)) continue
          onFault(error, id)
          await store.want(id, 'stopped', { failure: explain(error) })
        }
      }
    },

    async stop() {
      isStopping = true
      const all = [...running.values()]
      for (const replay of all) replay.stop()
      await Promise.allSettled(all.map(({ done }) => done))
    },
  }
}

const isThere = (id: string) => new FatalError('REPLAY_BUSY', `There is a replay ${id} already.`, 'Choose another id.')

const over = ({ id, state }: Job) =>
  new RequestError('REPLAY_UNKNOWN', `The replay ${id} is ${state}.`, 'Begin another one.', { status: 409 })
