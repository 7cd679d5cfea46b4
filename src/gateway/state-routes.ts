/** What a subject was at a time, how it came to be, snapshots of it; and the same for the positions of a group. */
import { z } from 'zod'
import type { Settings } from '../core/settings.ts'
import { type OffsetsFlags, offsetsCommand } from '../offsets/command.ts'
import type { OffsetsAction } from '../offsets/flags.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { stateCommand } from '../state/command.ts'
import type { StateAction, StateFlags } from '../state/flags.ts'
import { ask, type Told } from './ask.ts'
import { RequestError } from './problem.ts'
import { type Route, route } from './route.ts'
import {
  anything,
  offsetsAtQuery,
  offsetsQuery,
  partitionsAnswer,
  restoreBody,
  snapshotBody,
  snapshotsQuery,
  stateAnswer,
  stateBody,
  timelineAnswer,
  timelineQuery,
  topicParams,
} from './state-schemas.ts'

export interface StateRoutesOptions {
  readonly settings: Settings
  readonly loadConsumer: (name: string) => Promise<LoadedConsumer>
  /** user@host, of the server. */
  readonly actor: string
  readonly now: () => number
}

export function stateRoutes({ settings, loadConsumer, actor, now }: StateRoutesOptions): Route[] {
  const context = async (name: string, signal: AbortSignal) => ({
    settings,
    consumer: await loadConsumer(name),
    actor,
    now,
    signal,
  })

  async function state(
    action: Exclude<StateAction, 'debug'>,
    subjects: readonly string[],
    flags: Omit<StateFlags, 'json'>,
    signal: AbortSignal,
  ): Promise<Told> {
    const common = await context(flags.consumer, signal)
    return ask((io) => stateCommand(action, subjects, { ...flags, json: true }, { ...common, ...io }))
  }

  async function offsets(
    action: OffsetsAction,
    name: string | undefined,
    consumerName: string,
    flags: OffsetsFlags,
    signal: AbortSignal,
  ): Promise<Told> {
    const common = await context(consumerName, signal)
    return ask((io) => offsetsCommand(action, name, { ...flags, json: true }, { ...common, ...io }))
  }

  const ok = ({ value, notes }: Told) => ({ status: 200, body: { ...value, notes } })
  const missing = [404, 409, 410]
  return [
    route({
      method: 'POST',
      path: '/reconstruct-state',
      id: 'reconstructState',
      tag: 'state',
      summary: 'What a subject was at an instant, and what changed since another one',
      body: stateBody,
      answers: { 200: { description: 'So it was.', schema: stateAnswer } },
      problems: missing,
      async handle({ body: { subject, at, from, full, ...rest }, signal }) {
        if (from === undefined)
          return ok(await state('show', [subject], { ...given(rest), full, ...given({ at: at ?? 'now' }) }, signal))
        return ok(await state('diff', [subject], { ...given(rest), from, to: at ?? 'now' }, signal))
      },
    }),
    route({
      method: 'GET',
      path: '/timeline',
      id: 'timeline',
      tag: 'state',
      summary: 'The events of a subject, in the order of their own time',
      query: timelineQuery,
      answers: { 200: { description: 'Some of them.', schema: timelineAnswer } },
      problems: missing,
      async handle({ query: { subject, states, limit, ...rest }, signal }) {
        const flags = { ...given(rest), states: states === 'true', limit: String(limit) }
        return ok(await state('timeline', [subject], flags, signal))
      },
    }),
    route({
      method: 'POST',
      path: '/snapshot',
      id: 'makeSnapshot',
      tag: 'snapshots',
      summary: 'Keep the state of subjects, or where a group stands, under a name',
      body: snapshotBody,
      answers: { 201: { description: 'It is kept.', schema: anything } },
      problems: missing,
      keyed: 'again',
      async handle({ body, again, signal }) {
        if (body.kind === 'position') {
          const { name, at, consumer } = body
          const before = again ? await offsets('positions', undefined, consumer, {}, signal) : null
          const saved = before?.value.find((one: { name: string }) => one.name === name)
          if (saved !== undefined)
            return { status: 201, body: { name, source: saved.source, partitions: saved.positions } }
          const { value } = await offsets('save', name, consumer, given({ at }), signal)
          return { status: 201, body: value }
        }
        const { subjects, kind: _, ...rest } = body
        const { value, notes } = await state('snapshot', subjects, given(rest), signal)
        return { status: 201, body: { items: value, notes } }
      },
    }),
    route({
      method: 'GET',
      path: '/snapshot',
      id: 'listSnapshots',
      tag: 'snapshots',
      summary: 'What is kept, newest first; and whether each snapshot still has all events up to its instant',
      query: snapshotsQuery,
      answers: { 200: { description: 'Some of it.', schema: z.looseObject({ items: z.array(anything) }) } },
      problems: missing,
      async handle({ query: { kind, subject, check, limit, consumer }, signal }) {
        if (kind === 'position') {
          const { value } = await offsets('positions', undefined, consumer, {}, signal)
          return { status: 200, body: { items: value.slice(0, limit) } }
        }
        const subjects = subject === undefined ? [] : [subject]
        const flags = { consumer, check: check === 'true', limit: String(limit) }
        const { value, notes } = await state('snapshots', subjects, flags, signal)
        return { status: 200, body: { items: value.snapshots, notes } }
      },
    }),
    route({
      method: 'POST',
      path: '/restore',
      id: 'restore',
      tag: 'snapshots',
      summary: 'Give back a state as it was kept, or take a group back to a named position',
      body: restoreBody,
      answers: { 200: { description: 'The state; or what becomes of each partition.', schema: anything } },
      problems: missing,
      keyed: 'doubt',
      async handle({ body, signal }) {
        if (body.kind === 'state') {
          const { subject, kind: _, ...rest } = body
          return ok(await state('restore', [subject], given(rest), signal))
        }
        const { name, dryRun, force, consumer } = body
        const told = await offsets('restore', name, consumer, { dryRun, force, yes: !dryRun }, signal)
        if (told.code !== 0 && !dryRun) throw refused(told.value.plans)
        return ok(told)
      },
    }),
    route({
      method: 'GET',
      path: '/offsets',
      id: 'showOffsets',
      tag: 'offsets',
      summary: 'Where the partitions of a consumer stand: stored, published, settled, and what Kafka holds',
      query: offsetsQuery,
      answers: { 200: { description: 'As it is now.', schema: partitionsAnswer } },
      problems: [404],
      handle: async ({ query, signal }) =>
        ok(await offsets('show', undefined, query.consumer, given({ partition: query.partitions }), signal)),
    }),
    route({
      method: 'GET',
      path: '/offsets/{topic}',
      id: 'offsetsAt',
      tag: 'offsets',
      summary: 'Which offset each partition of a topic had at a time, by the timestamps of its records',
      params: topicParams,
      query: offsetsAtQuery,
      answers: { 200: { description: 'The first record of that time or later.', schema: partitionsAnswer } },
      problems: [404],
      async handle({ params, query: { consumer, partitions, at }, signal }) {
        const flags = { topic: params.topic, ...given({ partition: partitions }) }
        return ok(await offsets('at', at, consumer, flags, signal))
      },
    }),
  ]
}

type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> }

/** Without what was left out: a flag that is there and undefined would be another thing. */
const given = <T extends object>(flags: T): Given<T> =>
  Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined)) as Given<T>

function refused(plans: readonly { readonly partition: number; readonly refusal: string | null }[]) {
  const errors = plans.flatMap(({ partition, refusal }) =>
    refusal === null ? [] : [{ at: `partition ${partition}`, message: refusal }],
  )
  return new RequestError(
    'USAGE',
    `${errors.length} partitions do not go back; nothing was changed. Partition ${errors[0]?.at.slice(10)}: ${errors[0]?.message}.`,
    'Stop the fleet first, or say force.',
    { status: 409, errors },
  )
}
