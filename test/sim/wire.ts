/**
 * The network between processes and servers. A call departs, takes effect at its server, and is answered; each of the three may be late, and any of
 * them may not happen. What has departed may take effect though its sender has given up, or is dead.
 */
import { type Code, TransientError } from '../../src/core/errors.ts'
import type { Random } from '../../src/simulate/random.ts'
import type { Clock } from './clock.ts'

export type ServerName = 'kafka' | 'postgres' | 'redis'
export const serverNames = ['kafka', 'postgres', 'redis'] as const
export type Stage = 'departure' | 'effect' | 'answer'

/** How often, of a thousand calls, something happens to one. */
export interface Weather {
  /** Never arrives. */
  lost: number
  /** Takes effect, and nobody hears of it. */
  unanswered: number
  /** The sender gives up, and later it takes effect all the same. */
  late: number
  /** Takes effect a second time: the client sends again what it had no answer to. */
  twice: number
  /** The server refuses for now. */
  busy: number
}

export interface Server {
  readonly name: ServerName
  isUp: boolean
  /** Another one than before: connections of the former life are gone, with all that was on them. */
  life: number
  slowness: number
  weather: Weather
  /** Later calls of one sender may arrive before earlier ones, as on a cluster. */
  reorders: boolean
}

/** Who calls. */
export interface Sender {
  readonly name: string
  readonly isDead: boolean
  readonly cut: ReadonlySet<ServerName>
  /** Runs when the process runs; never, if it is dead by then. */
  deliver(delayMs: number, run: () => void): void
}

export interface WireOptions {
  readonly clock: Clock
  readonly random: Random
  readonly servers: Readonly<Record<ServerName, Server>>
  readonly note: (who: string, what: string) => void
  readonly counted: (what: string) => void
  /** Something of this sender has come so far. */
  readonly reached: (sender: Sender, stage: Stage, server: ServerName, what: string) => void
  /** After every effect. */
  readonly changed: (server: ServerName, what: string) => void
}

export const calm: Weather = { lost: 0, unanswered: 0, late: 0, twice: 0, busy: 0 }
const codes: Record<ServerName, Code> = {
  kafka: 'KAFKA_UNREACHABLE',
  postgres: 'POSTGRES_UNREACHABLE',
  redis: 'REDIS_UNREACHABLE',
}
const busyCodes: Record<ServerName, Code> = {
  kafka: 'KAFKA_UNREACHABLE',
  postgres: 'POSTGRES_BUSY',
  redis: 'REDIS_BUSY',
}

export function openWire({ clock, random, servers, note, counted, reached, changed }: WireOptions) {
  const arrivals = new Map<string, number>()
  let calls = 0

  /** Mostly a fraction of a millisecond, sometimes much more. */
  const latencyMs = ({ slowness }: Server) => {
    const unit = random.unit()
    return (0.1 + unit * 0.9 + (unit > 0.95 ? random.unit() * 40 : 0)) * slowness
  }

  function fateOf({ weather }: Server): keyof Weather | null {
    let left = random.unit() * 1000
    for (const fate of ['lost', 'unanswered', 'late', 'twice', 'busy'] as const) {
      left -= weather[fate]
      if (left < 0) return fate
    }
    return null
  }

  return {
    call<T>(sender: Sender, name: ServerName, what: string, apply: () => T): Promise<T> {
      const { promise, resolve, reject } = Promise.withResolvers<T>()
      const server = servers[name]
      const { life } = server
      const id = `#${++calls}`
      const fail = (code: Code, why: string) => {
        note(sender.name, `${id} fails: ${why}`)
        reject(new TransientError(code, why))
      }
      const isReachable = () => server.isUp && !sender.cut.has(name) && server.life === life
      const fate = fateOf(server)
      note(sender.name, `${id} ${name}: ${what}${fate === null ? '' : ` (${fate})`}`)
      reached(sender, 'departure', name, what)
      if (fate !== null) counted(`call ${fate}`)
      if (sender.isDead) return promise
      if (!isReachable()) {
        sender.deliver(latencyMs(server), () => fail(codes[name], 'connect ECONNREFUSED'))
        return promise
      }
      const patienceMs = 50 + random.unit() * (random.unit() < 0.2 ? 5000 : 500)
      if (fate === 'lost' || fate === 'unanswered' || fate === 'late') {
        sender.deliver(patienceMs, () => fail(codes[name], 'command timed out'))
        if (fate === 'lost') return promise
      }

      let arrivesMs = clock.nowMs + latencyMs(server)
      if (fate === 'late') arrivesMs += patienceMs + random.unit() * (random.unit() < 0.3 ? 60_000 : 2000)
      else if (!server.reorders || random.below(30) > 0) {
        const line = `${sender.name} ${name}`
        arrivesMs = Math.max(arrivesMs, arrivals.get(line) ?? 0)
        arrivals.set(line, arrivesMs)
      }
      const effect = (isRepeat: boolean) => {
        if (server.life !== life || !server.isUp || (sender.cut.has(name) && fate === null)) {
          if (!isRepeat) sender.deliver(latencyMs(server), () => fail(codes[name], 'read ECONNRESET'))
          return
        }
        reached(sender, 'effect', name, what)
        let answer: () => void
        if (fate === 'busy') answer = () => fail(busyCodes[name], 'busy')
        else {
          try {
            const value = apply()
            note(name, `${id} of ${sender.name}: ${what}${isRepeat ? ' (again)' : ''}`)
            answer = () => {
              note(sender.name, `${id} answered`)
              resolve(value)
            }
          } catch (error) {
            note(name, `${id} of ${sender.name}: refuses ${what}: ${(error as Error).message}`)
            answer = () => {
              note(sender.name, `${id} refused`)
              reject(error)
            }
          }
          changed(name, what)
        }
        if (isRepeat || fate === 'unanswered' || fate === 'late') return
        sender.deliver(latencyMs(server), () => {
          if (server.life !== life || sender.cut.has(name)) return fail(codes[name], 'read ECONNRESET')
          reached(sender, 'answer', name, what)
          if (!sender.isDead) answer()
        })
        if (fate === 'twice') clock.after(random.unit() * 1000, () => effect(true))
      }
      clock.after(arrivesMs - clock.nowMs, () => effect(false))
      return promise
    },
  }
}

export type Wire = ReturnType<typeof openWire>
