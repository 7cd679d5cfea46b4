/**
 * The fleet of a world: real replicas as child processes, by name. One that ends without being asked is told, counted, and started again after a
 * pause, as a supervisor does; its settings stay its own.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Replica, startReplica } from '../e2e/replica.ts'
import { within } from '../e2e/until.ts'

export interface EndedByItself {
  readonly name: string
  readonly code: number | null
  /** Its last line. */
  readonly said: string
}

export interface Fleet {
  readonly replicas: readonly Replica[]
  /** All there ever were, for their logs. */
  readonly past: readonly Replica[]
  readonly endedByThemselves: readonly EndedByItself[]
  start(env: Readonly<Record<string, string>>): Promise<Replica>
  replace(replica: Replica, env: Readonly<Record<string, string>>): Promise<Replica>
  end(replica: Replica, signal: NodeJS.Signals, limitMs: number): Promise<number | null>
  /** SIGTERM to all; answers those that did not exit 0. */
  stop(): Promise<string[]>
  /** SIGKILL to whatever is left. */
  kill(): Promise<void>
}

const restartMs = 1000
const stopMs = 30_000

export function openFleet(options: {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly tell: (text: string) => void
}): Fleet {
  const slots = new Map<string, { replica: Replica | null; env: Readonly<Record<string, string>> }>()
  const past: Replica[] = []
  const endedByThemselves: EndedByItself[] = []
  let names = 0
  let isOver = false

  async function startAs(name: string, env: Readonly<Record<string, string>>): Promise<Replica> {
    const slot = { replica: null as Replica | null, env }
    slots.set(name, slot)
    const replica = await startReplica(name, { ...options.env, ...env }, { cwd: options.cwd })
    past.push(replica)
    slot.replica = replica
    if (isOver) replica.kill('SIGKILL')
    void replica.ended.then(async ({ code, signal }) => {
      if (replica.endIsExpected || isOver) return
      const said = replica.log.at(-1) ?? ''
      endedByThemselves.push({ name, code, said })
      options.tell(`${name} ended by itself (${signal ?? `exit code ${code}`}): ${said.slice(0, 200)}`)
      await sleep(restartMs)
      // Replaced by the scenario meanwhile, or ended for good.
      if (isOver || slots.get(name) !== slot) return
      await startAs(name, env).then(
        () => options.tell(`${name} serves again`),
        (error: unknown) => options.tell(`${name} does not start again: ${(error as Error).message.split('\n')[0]}`),
      )
    })
    return replica
  }

  async function end(replica: Replica, signal: NodeJS.Signals, limitMs: number): Promise<number | null> {
    replica.expectEnd()
    if (replica.isAlive) replica.kill(signal)
    const { code } = await within(`${replica.name} to end after ${signal}`, limitMs, replica.ended)
    return code
  }

  return {
    get replicas() {
      return [...slots.values()].flatMap(({ replica }) => (replica?.isAlive ? [replica] : []))
    },
    past,
    endedByThemselves,
    start: (env) => startAs(`r${++names}`, env),
    async replace(replica, env) {
      const slot = slots.get(replica.name)
      slots.delete(replica.name)
      await end(replica, 'SIGKILL', 10_000)
      return startAs(replica.name, { ...slot?.env, ...env })
    },
    async end(replica, signal, limitMs) {
      slots.delete(replica.name)
      return end(replica, signal, limitMs)
    },
    async stop() {
      isOver = true
      const living = past.filter(({ isAlive }) => isAlive)
      const codes = await Promise.allSettled(living.map((replica) => end(replica, 'SIGTERM', stopMs)))
      return codes.flatMap((result, index) => {
        if (result.status === 'fulfilled' && result.value === 0) return []
        const { name, log } = living[index] as Replica
        const how = result.status === 'fulfilled' ? `exit code ${result.value}` : 'no end'
        return [`${name} after SIGTERM: ${how}: ${log.at(-1)?.slice(0, 200) ?? ''}`]
      })
    },
    async kill() {
      isOver = true
      for (const replica of past) if (replica.isAlive) replica.kill('SIGKILL')
      await within('killed replicas to end', 10_000, Promise.all(past.map(({ ended }) => ended)))
    },
  }
}
