/**
 * Runs one scenario: the servers, the world, the load, round after round with a recovery awaited and timed after each, then the count. A claim that
 * does not hold ends the rounds and fails the scenario; the count is made all the same, as far as there is anything left to count.
 */
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Counted, check } from './check.ts'
import { type Ground, root } from './ground/ground.ts'
import { type Sampler, startSampler } from './sample.ts'
import type { Scenario } from './scenario.ts'
import { type OpenWorld, openWorld } from './world.ts'

export interface Recovery {
  readonly ms: number
  readonly worstLagSeconds: number
  readonly note: string
}

export interface Result {
  readonly scenario: string
  readonly seed: number
  readonly rate: number
  readonly replicas: number
  readonly partitions: number
  /** Finished, and how many there should have been. */
  readonly rounds: number
  readonly roundsWanted: number
  readonly recoveries: readonly Recovery[]
  readonly recoveryMsMax: number
  readonly worstLagSeconds: number
  readonly residentBytesMax: number
  readonly endedByThemselves: readonly { readonly name: string; readonly code: number | null; readonly said: string }[]
  /** Null: it could not be made. */
  readonly counted: Counted | null
  readonly seconds: number
  readonly holds: boolean
  /** Why not. */
  readonly problems: readonly string[]
  /** Logs of replicas and servers, where it does not hold. */
  readonly folder: string | null
}

/** What a view may show while it runs. */
export interface Live {
  readonly scenario: Scenario
  readonly rounds: number
  round: number
  doing: string
  readonly startedMs: number
  world: OpenWorld | null
  sampler: Sampler | null
  readonly told: { readonly atMs: number; readonly text: string }[]
  lastRecoveryMs: number | null
}

export interface RunOptions {
  readonly scenario: Scenario
  readonly rounds: number
  readonly seed: number
  readonly rate: number
  readonly replicas: number
  readonly partitions: number
  /** Allows so many times the stated recovery time: for runs that share their cores with other tests, where only the count is the claim. */
  readonly recoveryFactor?: number
  readonly signal: AbortSignal
  readonly ground: () => Promise<Ground>
  readonly onTold: (live: Live, text: string) => void
  readonly onLook: (live: Live) => void
}

const servingMs = 90_000
/** Beyond its bound a recovery is awaited for a while all the same: how late it was is worth knowing. */
const patienceFactor = 3
const drainMs = 120_000

/** Set by healed(), which the compiler cannot see. */
function healingOf({ healing }: OpenWorld): NonNullable<OpenWorld['healing']> {
  if (healing === null) throw new Error('healed() was not called')
  return healing
}

/** Ctrl-C waits for nobody: what is under way meets the end of its world. */
async function orInterrupted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const interrupt = () => reject(new Error('interrupted'))
  signal.addEventListener('abort', interrupt)
  try {
    signal.throwIfAborted()
    return await Promise.race([work(), promise])
  } finally {
    signal.removeEventListener('abort', interrupt)
  }
}

export async function runScenario(options: RunOptions): Promise<Result> {
  const { scenario, rounds, signal } = options
  const recoveryMsMax = scenario.recoveryMsMax * (options.recoveryFactor ?? 1)
  const startedMs = performance.now()
  const live: Live = {
    scenario,
    rounds,
    round: 0,
    doing: 'starting the servers',
    startedMs,
    world: null,
    sampler: null,
    told: [],
    lastRecoveryMs: null,
  }
  const tell = (text: string) => {
    live.told.push({ atMs: performance.now() - startedMs, text })
    options.onTold(live, text)
  }
  const recoveries: Recovery[] = []
  const problems: string[] = []
  const failed = (what: string, error: unknown) => {
    // What was interrupted goes on for a moment, in a world that is gone.
    if (signal.aborted) return
    const text = `${what}: ${error instanceof Error ? error.message : String(error)}`
    problems.push(text)
    tell(text)
  }
  let counted: Counted | null = null
  let ground: Ground | null = null
  let worstLagSeconds = 0
  let folder: string | null = null
  try {
    ground = await options.ground()
    live.doing = 'making topic and database'
    const world = await openWorld({ ...options, ground, tell })
    live.world = world
    try {
      counted = await orInterrupted(signal, async () => {
        await rehearse(world)
        await perform(world)
        return settle(world)
      })
    } finally {
      await live.sampler?.stop()
      if (signal.aborted) live.doing = 'ending'
    }
  } catch (error) {
    failed('it could not be run', error)
  } finally {
    if (live.world !== null && problems.length > 0 && !signal.aborted) await keepLogs(live.world)
    await live.world?.close().catch((error: unknown) => failed('the end of the world', error))
  }

  async function rehearse(world: OpenWorld): Promise<void> {
    live.doing = 'preparing'
    await scenario.prepare?.(world)
    live.doing = 'starting replicas'
    await Promise.all(Array.from({ length: options.replicas - world.replicas.length }, () => world.start()))
    world.startMainLoad()
    live.sampler = startSampler(world, () => options.onLook(live))
    live.doing = 'waiting until all replicas store'
    await world.untilServing(undefined, servingMs)
    live.sampler.worstLagSeconds()
  }

  async function perform(world: OpenWorld): Promise<void> {
    for (let round = 1; round <= rounds; round++) {
      signal.throwIfAborted()
      live.round = round
      live.doing = 'at ease'
      // Not always at the same point of a settle, a fetch or a heartbeat.
      await world.sleep(world.random.below(1000))
      world.healing = null
      live.doing = 'the harm'
      let note: string
      try {
        note = (await scenario.round(world, round)) ?? ''
      } catch (error) {
        failed(`round ${round}`, error)
        return
      }
      world.healed()
      const healing = healingOf(world)
      live.doing = `recovering${note === '' ? '' : ` (${note})`}`
      try {
        await world.untilRecovered(recoveryMsMax * patienceFactor, await healing.target)
      } catch (error) {
        failed(`round ${round}, ${note}: no recovery`, error)
        return
      }
      const ms = performance.now() - healing.ms
      const lag = live.sampler?.worstLagSeconds() ?? 0
      worstLagSeconds = Math.max(worstLagSeconds, lag)
      recoveries.push({ ms, worstLagSeconds: lag, note })
      live.lastRecoveryMs = ms
      tell(
        `round ${round} of ${rounds}: ${note === '' ? 'done' : note}; recovered in ${(ms / 1000).toFixed(1)} s, worst lag ${lag.toFixed(1)} s`,
      )
      if (ms > recoveryMsMax) {
        problems.push(`round ${round}: recovered after ${Math.round(ms)} ms, the bound is ${recoveryMsMax} ms`)
      }
    }
  }

  async function settle(world: OpenWorld): Promise<Counted | null> {
    try {
      live.doing = 'stopping the load'
      await Promise.all(world.loads.map((load) => load.stop()))
      live.doing = 'waiting until all is settled'
      await world.untilRecovered(drainMs)
      await scenario.after?.(world)
    } catch (error) {
      failed('after the rounds', error)
    }
    worstLagSeconds = Math.max(worstLagSeconds, live.sampler?.worstLagSeconds() ?? 0)
    await live.sampler?.stop()
    live.doing = 'ending the replicas'
    problems.push(...(await world.fleet.stop()))
    live.doing = 'counting every event'
    options.onLook(live)
    try {
      const result = await check(world)
      problems.push(...result.problems)
      return result
    } catch (error) {
      failed('the count', error)
      return null
    }
  }

  async function keepLogs(world: OpenWorld): Promise<void> {
    folder = join(root, '.local', 'chaos', `${scenario.name}-${options.seed}`)
    mkdirSync(folder, { recursive: true })
    for (const [index, replica] of world.fleet.past.entries()) {
      writeFileSync(join(folder, `${replica.name}-${index + 1}.log`), `${replica.log.join('\n')}\n`)
    }
    for (const from of world.ground.folders) {
      for (const file of readdirSync(from, { recursive: true, encoding: 'utf8' })) {
        // Data folders have files of this kind too, deeper down.
        if (file.endsWith('.log') && file.split('/').length <= 2)
          copyFileSync(join(from, file), join(folder, file.replaceAll('/', '-')))
      }
    }
    const told = live.told.map(({ atMs, text }) => `${(atMs / 1000).toFixed(1)} s  ${text}`)
    writeFileSync(join(folder, 'told.log'), `${[...told, ...problems].join('\n')}\n`)
  }

  const bad = counted === null || counted.lost + counted.duplicated + counted.outOfOrder + counted.wrong > 0
  return {
    scenario: scenario.name,
    seed: options.seed,
    rate: options.rate,
    replicas: options.replicas,
    partitions: options.partitions,
    rounds: recoveries.length,
    roundsWanted: rounds,
    recoveries,
    recoveryMsMax,
    worstLagSeconds,
    residentBytesMax: live.sampler?.residentBytesMax ?? 0,
    endedByThemselves: live.world?.endedByThemselves ?? [],
    counted,
    seconds: (performance.now() - startedMs) / 1000,
    holds: !bad && problems.length === 0,
    problems,
    folder,
  }
}
