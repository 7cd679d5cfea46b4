/**
 * The door to replays for every face, a command line or a server: begin one, go on with one after a restart, give one up, see which there are, and ask
 * beforehand how much it would be.
 */
import type pg from 'pg'
import { explain, FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { kafkaConfig, openKafka } from '../process/connect-kafka.ts'
import { connectPostgres } from '../process/connect-postgres.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { audit } from '../schema/audit.ts'
import { requireSchema, schemaState } from '../schema/migrate.ts'
import type { Session } from '../schema/sql.ts'
import { checkDescription, type ReplayDescription, targetName } from './description.ts'
import { withTopicTimes } from './kafka-times.ts'
import { futureMsOf, openSource } from './open-source.ts'
import { openTarget, refuseLive } from './open-target.ts'
import { planReplay, type ReplayPlan } from './plan.ts'
import type { Replay, ReplayClock } from './port.ts'
import { startReplay } from './replay.ts'
import type { Estimate } from './source.ts'
import type { LineOutput } from './stdout-target.ts'
import * as store from './store.ts'
import { oddTypes, storedTypes } from './stored-types.ts'
import type { Saved } from './target.ts'

export interface ReplaysContext {
  readonly settings: Settings
  readonly loadConsumer: (name: string) => Promise<LoadedConsumer>
  /** user@host. */
  readonly actor: string
  readonly now: () => number
  readonly clock: ReplayClock
  readonly stdout: LineOutput | null
}

export interface Replays {
  /** Checks and plans it, notes it in the database, and lets it run. */
  begin(description: ReplayDescription, signal: AbortSignal): Promise<Replay>
  /** Where it stood; at another speed or rate, if they are given. */
  resume(id: string, changes: Partial<Pick<ReplayDescription, 'speed' | 'ratePerSecond'>>): Promise<Replay>
  /** What is left of an interrupted one goes, and its target is free. */
  discard(id: string): Promise<void>
  list(limit: number): Promise<store.StoredReplay[]>
  estimate(description: ReplayDescription, signal: AbortSignal): Promise<Estimate>
  /** What is odd about a selection, in sentences: a type that no stored event has. */
  warnings(description: ReplayDescription): Promise<string[]>
}

export function openReplays(context: ReplaysContext): Replays {
  const { settings, loadConsumer, actor, now, clock, stdout } = context

  async function connected(): Promise<pg.Client> {
    const session = await connectPostgres(settings, 'millrace replay')
    try {
      requireSchema(await schemaState(session))
      // It holds the lock of a replay, which may stand still for days.
      await session.query('set idle_session_timeout = 0')
      return session
    } catch (error) {
      await session.end().catch(() => {})
      throw error
    }
  }

  async function withSession<T>(work: (session: pg.Client) => Promise<T>): Promise<T> {
    const session = await connected()
    try {
      return await work(session)
    } finally {
      await session.end().catch(() => {})
    }
  }

  async function planOf(
    session: Session,
    consumer: LoadedConsumer,
    description: ReplayDescription,
    signal: AbortSignal,
  ): Promise<ReplayPlan> {
    const { topic } = consumer.definition
    const common = {
      description,
      session,
      consumer: consumer.name,
      topic,
      futureMs: futureMsOf(settings),
      retentionDays: settings.retentionDays,
      nowMs: now(),
    }
    if (description.source === 'postgres') return planReplay({ ...common, kafka: null })
    const config = kafkaConfig(settings)
    return withTopicTimes(openKafka(settings), config, topic, signal, (kafka) => planReplay({ ...common, kafka }))
  }

  async function run(
    session: pg.Client,
    consumer: LoadedConsumer,
    description: ReplayDescription,
    plan: ReplayPlan,
    saved: Saved | null,
    before: { readonly isNew: boolean; readonly note: () => Promise<void> },
  ): Promise<Replay> {
    const state = saved?.target ?? null
    const target = await openTarget({
      settings,
      session,
      consumer,
      description,
      isNew: before.isNew,
      state,
      stdout,
    })
    try {
      const source = await openSource(settings, consumer, description, plan)
      await before.note().catch(async (error: unknown) => {
        await source.close()
        throw error
      })
      const save = (to: Saved) => store.saveReplay(session, description.id, to)
      const replay = startReplay({ description, source, target, saved, save, clock })
      const done = ended(replay, session)
      // Whoever wants to know is told; a job of a server may have nobody who waits just then.
      done.catch(() => {})
      return { ...replay, done }
    } catch (error) {
      if (before.isNew) await target.discard().catch(() => {})
      await target.close().catch(() => {})
      throw error
    }
  }

  /** However it ends, the database says so before anybody is told. */
  async function ended({ done, description: { id } }: Replay, session: pg.Client) {
    try {
      const progress = await done
      await store.markReplay(session, id, progress.state as store.StoredState)
      return progress
    } catch (error) {
      await store.markReplay(session, id, 'failed', explain(error)).catch(() => {})
      throw error
    } finally {
      await session.end().catch(() => {})
    }
  }

  return {
    async begin(description, signal) {
      checkDescription(description)
      const consumer = await loadConsumer(description.consumer)
      const session = await connected()
      try {
        await refuseLive(session, consumer, description)
        await checkJsonpath(session, description.select.jsonpath)
        await store.lockTarget(session, description)
        await store.requireFree(session, description)
        const plan = await planOf(session, consumer, description, signal)
        const note = () => store.insertReplay(session, description, plan, actor)
        return await run(session, consumer, description, plan, null, { isNew: true, note })
      } catch (error) {
        await session.end().catch(() => {})
        throw error
      }
    },

    async resume(id, changes) {
      const session = await connected()
      try {
        const { description: found, plan } = await store.requireReplay(session, id)
        const description = { ...found, ...changes }
        checkDescription(description)
        await store.lockTarget(session, description)
        // Behind the lock: until then somebody else may have moved on.
        const { saved } = await store.requireReplay(session, id)
        const consumer = await loadConsumer(description.consumer)
        const note = () => store.markReplay(session, id, 'running')
        return await run(session, consumer, description, plan, saved, { isNew: false, note })
      } catch (error) {
        await session.end().catch(() => {})
        throw error
      }
    },

    discard: (id) =>
      withSession(async (session) => {
        const { description, saved } = await store.requireReplay(session, id)
        await store.lockTarget(session, description)
        const consumer = await loadConsumer(description.consumer)
        const state = saved?.target ?? null
        try {
          const target = await openTarget({
            settings,
            session,
            consumer,
            description,
            isNew: false,
            state,
            stdout,
          })
          await target.discard().finally(() => target.close())
        } catch (error) {
          // What is gone already, or in another shape than it was left, need not be taken away.
          if (!(error instanceof FatalError) || error.code !== 'REPLAY_TARGET') throw error
        }
        await store.markReplay(session, id, 'cancelled')
        await audit(session, { actor, action: 'replay discard', target: targetName(description), detail: { id } })
      }),

    list: (limit) => withSession((session) => store.listReplays(session, limit)),

    async estimate(description, signal) {
      checkDescription(description)
      const consumer = await loadConsumer(description.consumer)
      return withSession(async (session) => {
        await refuseLive(session, consumer, description)
        await checkJsonpath(session, description.select.jsonpath)
        const plan = await planOf(session, consumer, description, signal)
        const source = await openSource(settings, consumer, description, plan)
        try {
          return await source.estimate(signal)
        } finally {
          await source.close()
        }
      })
    },

    async warnings({ consumer: name, select }) {
      if (select.types.length === 0) return []
      const { definition } = await loadConsumer(name)
      return withSession(async (session) => oddTypes(select.types, await storedTypes(session, definition.table)))
    },
  }
}

async function checkJsonpath(session: Session, jsonpath: string | null): Promise<void> {
  if (jsonpath === null) return
  try {
    await session.query('select $1::jsonpath', [jsonpath])
  } catch (error) {
    throw new FatalError(
      'USAGE',
      `'${jsonpath}' is no JSONPath: ${(error as Error).message}.`,
      "Write one as PostgreSQL has them: '$.amount > 100', or '$.items[*] ? (@.price > 100)'.",
      error,
    )
  }
}
