/**
 * Proves that the simulation can fail: each mutant runs from the first seed on until a seed catches it, or the bound is reached. A seed counts only if the
 * code as it is holds with it. Two processes at a time, each with one mutant in it.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { Job, Told } from './mutant-child.ts'
import type { Mutant } from './mutate.ts'

export interface Hunted {
  readonly mutant: Mutant
  /** Seeds run until it was caught; null: it survives. */
  readonly seeds: number | null
  readonly seed: number | null
  /** What the checkers said. */
  readonly finding: string | null
  readonly seconds: number
}

export interface HuntOptions {
  readonly mutants: readonly Mutant[]
  readonly from: number
  readonly seedsMax: number
  readonly processes: number
  readonly signal: AbortSignal
  readonly now: () => number
  readonly onProgress: (running: ReadonlyMap<string, number>) => void
  readonly onHunted: (hunted: Hunted) => void
  /** The code as it is does not hold with this seed. */
  readonly onUnsound: (seed: number, finding: string) => void
}

/** A seed takes a second or so; one that takes this long turns in a circle without an event. */
const silentMsMax = 60_000
const child = join(import.meta.dirname, 'mutant-child.ts')

export type Findings = Extract<Told, { seed: number }>

/** Runs seeds in a process of their own until `each` answers true, or the last; a seed that never ends is a finding. */
export async function runApart(job: Job, signal: AbortSignal, each: (told: Findings) => boolean): Promise<void> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const own: ChildProcess = fork(child, [JSON.stringify(job)], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
  let words = ''
  own.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(-2000)
  })
  let seed = job.from
  const end = () => {
    clearTimeout(silent)
    own.removeAllListeners()
    own.kill('SIGKILL')
    signal.removeEventListener('abort', onAbort)
  }
  const onAbort = () => {
    end()
    reject(signal.reason)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  const tell = (told: Findings) => {
    if (!each(told)) return
    end()
    resolve()
  }
  const late = () => {
    tell({ seed, finding: `the seed does not end within ${silentMsMax / 1000} s` })
    end()
    resolve()
  }
  let silent = setTimeout(late, silentMsMax)
  own.on('message', (told: Told) => {
    if ('done' in told) {
      end()
      return resolve()
    }
    clearTimeout(silent)
    silent = setTimeout(late, silentMsMax)
    seed = told.seed + 1
    tell(told)
  })
  own.on('exit', (code, how) => {
    end()
    // A mutant may end the whole process, by an error that nobody catches: that is a finding, too.
    if (job.mutant === null) return reject(new Error(`the process of seed ${seed} ended by ${how ?? code}:\n${words}`))
    const said = words.split('\n').find((line) => /Error/.test(line)) ?? words
    each({ seed, finding: `the process ended by ${how ?? code}: ${said}` })
    resolve()
  })
  return promise
}

export async function hunt(options: HuntOptions): Promise<Hunted[]> {
  const { from, seedsMax, signal, now, onProgress, onHunted, onUnsound } = options
  const left = [...options.mutants]
  const running = new Map<string, number>()
  const hunted = new Map<string, Hunted>()
  const sound = new Map<number, Promise<boolean>>()

  /** Whether the code as it is holds with this seed. */
  function isSound(seed: number): Promise<boolean> {
    const known = sound.get(seed)
    if (known !== undefined) return known
    let finding: string | null = null
    const asked = runApart({ mutant: null, from: seed, count: 1, timeline: false }, signal, (told) => {
      finding = told.finding
      return true
    }).then(() => {
      if (finding !== null) onUnsound(seed, finding)
      return finding === null
    })
    sound.set(seed, asked)
    return asked
  }

  async function chase(mutant: Mutant): Promise<void> {
    const startedMs = now()
    const { name } = mutant
    let caught: Findings | null = null
    for (let next = from; next < from + seedsMax && caught === null; ) {
      let found: Findings | null = null
      const job = { mutant: name, from: next, count: from + seedsMax - next, timeline: false }
      await runApart(job, signal, (told) => {
        running.set(name, told.seed - from + 1)
        onProgress(running)
        if (told.finding !== null) found = told
        return told.finding !== null
      })
      if (found === null) break
      const { seed } = found as Findings
      if (await isSound(seed)) caught = found
      next = seed + 1
    }
    running.delete(name)
    const { seed = null, finding = null } = (caught ?? {}) as Partial<Findings>
    const one = {
      mutant,
      seed,
      finding,
      seeds: seed === null ? null : seed - from + 1,
      seconds: (now() - startedMs) / 1000,
    }
    hunted.set(name, one)
    onHunted(one)
  }

  async function work(): Promise<void> {
    for (let mutant = left.shift(); mutant !== undefined; mutant = left.shift()) await chase(mutant)
  }
  await Promise.all(Array.from({ length: options.processes }, work))
  return options.mutants.map(({ name }) => hunted.get(name) as Hunted)
}
