/**
 * One simulated world from one seed: servers, processes, producers, and the state that the checkers look at.
 *
 * Where this world differs from the real one. Harder here: a new member is given its share at once, while the others do not know yet (Kafka waits for
 * them); Kafka takes a commit from anybody; what was sent by the dead still arrives, up to a minute late; any call may be carried out though its
 * sender has given up, and on a cluster one may overtake another; clocks jump by weeks.
 *
 * Kinder here, and so for other tests to see (contract/, e2e/, chaos/):
 *   - a batch's transaction is one moment: no row locks, no deadlocks, no lock held by a sleeper, no second attempt inside persist/ after a duplicate
 *   - a database that goes back takes its connections along; nobody goes on writing to the old primary
 *   - a Redis that goes back is one that was restarted; nobody publishes to the old primary
 *   - entries are not trimmed and readers delete nothing
 *   - kafkajs itself is not here: its restarts, its heartbeats and its bookkeeping of fetches are those of consume/memory.ts
 *   - topics are neither truncated nor made anew, and have no ids; compaction and aborted transactions have happened before anybody reads
 *   - decode/ runs on the spot, days of the table are always there, the limit on rejects is off
 *   - redeliveries come from rebalances, seeks and lying group offsets; a seek forward that fires late without a rebalance is not made up
 */

import { FatalError } from '../../src/core/errors.ts'
import type { StopCode } from '../../src/core/ledger.ts'
import { openBusiness } from '../../src/core/tally.ts'
import { createMemoryKafka, expel, type MemoryGroup, type MemoryKafka } from '../../src/flow/consume/memory.ts'
import { createMemoryDatabase, type MemoryDatabase } from '../../src/flow/persist/memory.ts'
import { createMemoryStreams, type MemoryStreams } from '../../src/flow/publish/memory.ts'
import { planSet } from '../../src/offsets/plan.ts'
import type { ServiceSettings } from '../../src/process/service.ts'
import { createRandom, type Random } from '../../src/simulate/random.ts'
import { type Checker, createChecker, Finding, type Losses, ledgerOf, Rejects, Rows, setLedger } from './check.ts'
import { Clock } from './clock.ts'
import { History } from './history.ts'
import { createLoad, definition, type Load, refuses } from './load.ts'
import { type Member, startMember } from './member.ts'
import {
  calm,
  openWire,
  type Sender,
  type Server,
  type ServerName,
  type Stage,
  serverNames,
  type Wire,
} from './wire.ts'

/** Something that happens when a call of a process has come so far. */
interface Trap {
  readonly stage: Stage
  left: number
  readonly spring: (member: Member) => void
}

/** How processes may end while the world is hostile; anything else is a finding. */
const endings = ['KAFKA_CRASHED', 'NO_PROGRESS', 'DRAIN_TIMEOUT']
/** Since when a process that gives up in a calm world is a finding. */
const calmMs = 60_000

export class World {
  readonly random: Random
  readonly clock = new Clock()
  readonly history = new History()
  readonly counts = new Map<string, number>()
  readonly kafka: MemoryKafka
  readonly group: MemoryGroup
  readonly database: MemoryDatabase = { ...createMemoryDatabase(), rows: new Rows(), rejects: new Rejects(), refuses }
  readonly streams: MemoryStreams = createMemoryStreams()
  readonly servers: Record<ServerName, Server>
  readonly members: Member[] = []
  /** What all processes have counted at commit, the dead ones too. */
  readonly business = openBusiness(definition.metrics ?? [], () => 0)
  readonly load: Load
  readonly losses: Losses
  readonly settings: ServiceSettings & { streamLost: 'refill' | 'stop' }
  readonly sessionMs: number
  readonly wire: Wire
  readonly check: Checker
  readonly #traps = new Map<Sender, Trap[]>()
  readonly #clustered: boolean
  /** By partition: the group's offset as processes have settled it; what a fault wrote there is not theirs. */
  readonly #settledTo = new Map<number, number>()
  finding: Error | null = null
  /** Faults are over. */
  calmSinceMs = Number.POSITIVE_INFINITY
  /** So many processes are to run. */
  wanted = 1
  #started = 0

  constructor(seed: number) {
    const random = createRandom(seed)
    this.random = random
    const pick = <T>(...all: T[]) => all[random.below(all.length)] as T
    const partitions = 1 + random.below(4)
    this.kafka = createMemoryKafka({ partitions })
    this.group = this.kafka.group('sim')
    this.servers = Object.fromEntries(
      serverNames.map((name) => [
        name,
        { name, isUp: true, life: 0, slowness: 1, weather: { ...calm }, reorders: false } satisfies Server,
      ]),
    ) as Record<ServerName, Server>
    this.load = createLoad(this.kafka, random)
    this.losses = {
      redis: false,
      rewound: false,
      clocks: false,
      accepted: new Map(),
      passedOver: new Map(),
      unpublished: new Set(),
    }
    this.settings = {
      batchBytesMax: pick(3000, 100_000),
      batchRowsMax: pick(1, 5, 20, 60),
      drainMs: pick(3000, 20_000),
      fetchWaitMs: pick(500, 3000),
      heartbeatMs: 3000,
      inFlightBytesMax: pick(1500, 8000, 1_000_000),
      lanes: pick(1, 2, 2, 3),
      progressTimeoutMs: 60_000,
      publishGraceMs: pick(0, 500, 3000),
      redisTimeoutMs: 5000,
      rejectPercentMax: 0,
      rejectRunMax: 0,
      rejectWindowMs: 60_000,
      rejectWindowRecordsMin: 1000,
      retryBackoffMaxMs: pick(500, 5000),
      retryBackoffMinMs: pick(5, 50),
      settleMs: pick(50, 1000),
      startFrom: 'earliest',
      streamLost: pick('refill', 'refill', 'stop'),
      transactionTimeoutMs: 15_000,
    }
    this.sessionMs = pick(2000, 10_000)
    this.#clustered = random.below(3) === 0
    this.servers.redis.reorders = this.#clustered
    this.check = createChecker(this)
    this.wire = openWire({
      clock: this.clock,
      random,
      servers: this.servers,
      note: this.note,
      counted: this.counted,
      reached: (sender, stage, _, what) => this.#reached(sender as Member, stage, what),
      changed: (server) =>
        this.#guard(() => {
          if (server === 'redis') this.check.lookAtNewEntries()
          this.check.lookInside()
        }),
    })
    this.wanted = 1 + random.below(3)
  }

  readonly note = (who: string, what: string): void => this.history.note(this.clock.nowMs, who, what)
  readonly counted = (what: string): void => void this.counts.set(what, (this.counts.get(what) ?? 0) + 1)

  find(error: Error): void {
    if (this.finding !== null) return
    this.finding = error
    this.note('checker', error instanceof Finding ? error.message : (error.stack ?? error.message))
  }

  #guard(look: () => void): void {
    try {
      look()
    } catch (error) {
      this.find(error as Error)
    }
  }

  /** Now and then, for as long as `again` says so. */
  every(pauseMs: () => number, act: () => boolean): void {
    this.clock.after(pauseMs(), () => {
      if (act()) this.every(pauseMs, act)
    })
  }

  // --- processes ----------------------------------------------------------------------------------------------------------------------------------

  get alive(): Member[] {
    return this.members.filter(({ isDead }) => !isDead)
  }

  start(): Member {
    const { clock, random, wire, kafka, group, database, streams, settings, note, counted } = this
    const member = startMember(
      `p${++this.#started}`,
      {
        clock,
        random,
        wire,
        kafka,
        group,
        database,
        streams,
        settings: { ...settings },
        business: this.business,
        clustered: this.#clustered,
        note,
        counted,
        settled: (partition, nextOffset) =>
          this.#guard(() => {
            this.check.settled(partition, nextOffset, this.#settledTo.get(partition) ?? 0)
            this.#settledTo.set(partition, nextOffset)
          }),
      },
      (one, error) => this.#ended(one, error),
    )
    this.members.push(member)
    return member
  }

  #ended(member: Member, error: unknown): void {
    if (member.isDead) return
    member.isDead = true
    this.note(member.name, error === null ? 'ended' : `ended: ${(error as Error).message}`)
    if (error !== null) {
      const code = error instanceof FatalError ? error.code : 'UNKNOWN'
      this.counted(`ended: ${code}`)
      const isLate = this.clock.nowMs > Math.max(this.calmSinceMs, member.awakeSinceMs) + calmMs
      if (!endings.includes(code) || isLate) this.find(new Error(`${member.name} ended: ${(error as Error).stack}`))
    }
    this.#left(member)
  }

  #left(member: Member): void {
    this.members.splice(this.members.indexOf(member), 1)
    this.clock.after(this.sessionMs, () => this.expel(member))
    this.clock.after(100 + this.random.unit() * 3000, () => {
      if (this.alive.length < this.wanted) this.start()
    })
  }

  kill(member: Member): void {
    if (member.isDead) return
    this.note(member.name, 'killed')
    member.isDead = true
    this.#left(member)
  }

  expel(member: Member): void {
    const found = this.group.members.find(({ name }) => name === member.name)
    if (found === undefined) return
    this.note('kafka', `throws out ${member.name}`)
    this.counted('thrown out')
    expel(this.group, found)
  }

  /** Nothing of it runs; the coordinator gives up on it when that takes long. */
  freeze(member: Member, forMs: number): void {
    if (member.isDead) return
    const untilMs = this.clock.nowMs + forMs
    this.note(member.name, `sleeps for ${Math.round(forMs)} ms`)
    member.sleepUntil(untilMs)
    if (forMs > this.sessionMs)
      this.clock.after(this.sessionMs, () => {
        if (!member.isDead) this.expel(member)
      })
    this.clock.after(forMs, () => {
      if (!member.isDead) this.note(member.name, 'wakes up')
    })
  }

  cut(member: Member, server: ServerName, forMs: number): void {
    this.note(member.name, `is cut off from ${server} for ${Math.round(forMs)} ms`)
    member.cut.add(server)
    if (server === 'kafka' && forMs > this.sessionMs) this.clock.after(this.sessionMs, () => this.expel(member))
    this.clock.after(forMs, () => {
      member.cut.delete(server)
      if (server === 'redis' && !member.isDead) member.service.doubtStreams()
    })
  }

  /** `spring` happens when the `left`-th call from now on has come to that stage. */
  trap(member: Member, stage: Stage, left: number, spring: (member: Member) => void): void {
    this.#traps.set(member, [...(this.#traps.get(member) ?? []), { stage, left, spring }])
  }

  #reached(sender: Member, stage: Stage, what: string): void {
    // Who has died on its way into the group is a member until its session ends.
    if (what === 'join' && sender.isDead) this.clock.after(this.sessionMs, () => this.expel(sender))
    const traps = this.#traps.get(sender)
    if (traps === undefined) return
    for (const trap of traps) {
      if (trap.stage !== stage || --trap.left !== 0 || sender.isDead) continue
      trap.spring(sender)
    }
  }

  // --- servers ------------------------------------------------------------------------------------------------------------------------------------

  down(name: ServerName, forMs: number): void {
    const server = this.servers[name]
    if (!server.isUp) return
    this.note(name, `down for ${Math.round(forMs)} ms`)
    server.isUp = false
    server.life++
    this.clock.after(forMs, () => {
      server.isUp = true
      this.note(name, 'up')
      if (name === 'redis') this.#redisIsBack()
    })
  }

  /** Every connection to Redis is made anew: whoever notices looks at the streams. */
  #redisIsBack(): void {
    for (const member of this.alive) member.deliver(this.random.unit() * 500, () => member.service.doubtStreams())
  }

  /** The state of now, to go back to. */
  rememberDatabase(): () => void {
    const { rows, rejects, ledger, days } = this.database
    const [oldRows, oldRejects, oldLedger, oldDays] = [[...rows], [...rejects], [...ledger], [...days]]
    const passed = [...this.losses.passedOver]
    return () => {
      this.note('postgres', 'goes back to an earlier state')
      this.servers.postgres.life++
      this.losses.rewound = true
      for (const all of [rows, rejects, ledger, days]) all.clear()
      for (const [id, row] of oldRows) rows.set(id, row)
      for (const [id, one] of oldRejects) rejects.set(id, one)
      for (const [id, row] of oldLedger) ledger.set(id, row)
      for (const day of oldDays) days.add(day)
      this.losses.passedOver.clear()
      for (const [partition, ranges] of passed) this.losses.passedOver.set(partition, ranges)
    }
  }

  rememberStreams(): () => void {
    const old = [...this.streams.streams].map(([key, { lastId, entries }]) => [key, lastId, entries.length] as const)
    return () => {
      this.note('redis', 'has lost its last writes')
      this.loseStreams((key) => old.find(([name]) => name === key)?.[2] ?? 0)
    }
  }

  /** Each stream keeps its first entries, so many as `kept` says. */
  loseStreams(kept: (key: string) => number): void {
    this.servers.redis.life++
    for (const [key, stream] of this.streams.streams) {
      const count = kept(key)
      if (count < stream.entries.length) this.losses.redis = true
      stream.entries.splice(count)
      if (stream.entries.length === 0) this.streams.streams.delete(key)
      else stream.lastId = stream.entries.at(-1)?.id as number
    }
    this.check.entriesLost()
    this.#redisIsBack()
  }

  deleteRecords(partition: number, beforeOffset: number): void {
    this.note('kafka', `deletes the records of ${partition} below ${beforeOffset}`)
    for (let offset = this.kafka.watermarks(partition).low; offset < beforeOffset; offset++) {
      const family = this.load.produced.get(`${partition}/${offset}`)?.family
      const stream = this.streams.streams.get(`${family}:{${partition}}`)
      if ((stream?.lastId ?? 0) <= offset) this.losses.unpublished.add(`${partition}/${offset}`)
    }
    this.kafka.deleteRecords(partition, beforeOffset)
  }

  /** What the group remembers is not what was settled. */
  setGroupOffset(partition: number, nextOffset: number): void {
    this.note('kafka', `the group's offset of ${partition} is set to ${nextOffset}`)
    this.group.committed.set(partition, nextOffset)
  }

  // --- operators ----------------------------------------------------------------------------------------------------------------------------------

  /** Looks at partitions that stand still, and does what the message says. */
  operate(): void {
    for (let partition = 0; partition < this.kafka.partitions; partition++) {
      const row = ledgerOf(this.database, partition)
      const code = row?.stopped?.code
      if (row === undefined || code === undefined) continue
      const watermarks = this.kafka.watermarks(partition)
      if (!this.#isRight(code, row.nextOffset, watermarks.low)) continue
      if (code === 'STREAM_LOST' && this.random.below(2) === 0) {
        if (this.settings.streamLost === 'refill') continue
        this.note('operator', 'sets MILLRACE_STREAM_LOST=refill and restarts the fleet')
        this.settings.streamLost = 'refill'
        for (const member of this.alive) member.drain()
        continue
      }
      const held = new Map(
        [...this.streams.streams].flatMap(([key, { lastId }]) =>
          key.endsWith(`:{${partition}}`) ? [[key.slice(0, key.indexOf(':{')), lastId] as const] : [],
        ),
      )
      const passedOver = this.losses.passedOver.get(partition) ?? []
      const target = Math.max(row.nextOffset, watermarks.low)
      const policy = { publishes: true, key: (family: string) => family }
      const plan = planSet({ ...row, passedOver, repeatedBelow: null }, watermarks, target, held, policy)
      this.note('operator', `offsets set --partition ${partition} --to ${target}: ${plan.kind}, ${plan.says}`)
      this.counted(`operator: ${code}`)
      if (plan.refusal !== null) {
        this.find(new Error(`offsets set is refused: ${plan.refusal}`))
        return
      }
      const { after } = plan
      this.losses.passedOver.set(partition, [...after.passedOver])
      if (code === 'STREAM_LOST') this.losses.accepted.set(partition, row.nextOffset)
      setLedger(this.database, { ...row, ...after, stopped: null })
    }
  }

  /** Has the world really done what the partition was stopped for? */
  #isRight(code: StopCode, nextOffset: number, low: number): boolean {
    if (code === 'RETENTION_OVERTOOK') return nextOffset < low
    if (code === 'STREAM_LOST') {
      if (!this.losses.redis) this.find(new Error('a partition is stopped for STREAM_LOST, and Redis has lost nothing'))
      return true
    }
    this.find(new Error(`a partition is stopped for ${code}, and nothing of the kind has happened`))
    return false
  }

  // --- the run ------------------------------------------------------------------------------------------------------------------------------------

  /** From here on nothing bad happens. */
  becalm(): void {
    this.note('world', 'all faults are over')
    this.calmSinceMs = this.clock.nowMs
    for (const server of Object.values(this.servers)) Object.assign(server, { slowness: 1, weather: { ...calm } })
    for (const member of this.alive) {
      this.#traps.delete(member)
      member.cut.clear()
    }
  }
}
