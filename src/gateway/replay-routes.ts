/** Replays over the network: begun, watched, listed, steered, given up. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { FatalError } from '../core/errors.ts'
import type { Replays } from '../replay/replays.ts'
import {
  controlledBody,
  type DescribeContext,
  describe,
  describeEstimate,
  estimateBody,
  idText,
  type ReplayBody,
  replayBody,
  shown,
  speedOf,
  speedValue,
  timeText,
} from './describe.ts'
import { type Command, isOver, type Job } from './job.ts'
import type { Jobs } from './jobs.ts'
import { type Asked, type Route, route } from './route.ts'
import { eventStream } from './stream.ts'

export interface ReplayRoutesOptions {
  readonly jobs: Jobs
  readonly replays: Pick<Replays, 'estimate' | 'warnings'>
  readonly directory: string
  readonly newId: () => string
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<unknown>
}

const nullableTime = z.string().nullable()

const jobSchema = z.looseObject({
  id: idText,
  state: z.enum(['running', 'paused', 'waiting', 'stopped', 'failed', 'done', 'cancelled']),
  failure: z.string().nullable(),
  madeAt: z.string(),
  savedAt: nullableTime.describe('How far it is was last made safe then.'),
  events: z.number(),
  bytes: z.number(),
  at: nullableTime.describe('Time of the last event.'),
  share: z.number().nullable().describe('0 to 1, of the range; of one that runs here, as the following.'),
  perSecond: z.number().nullable(),
  etaMs: z.number().nullable(),
  lateMs: z
    .number()
    .nullable()
    .describe('How far behind its own time, because target or rate do not let it go faster.'),
  givesWay: z.boolean().nullable().describe('It could go faster, and leaves the cores of its machine to others.'),
  fromPostgres: z.number().nullable().describe('Served by each since it was last gone on with.'),
  fromKafka: z.number().nullable(),
  request: z.looseObject({ consumer: z.string(), speed: z.union([z.string(), z.number()]) }),
})

const begunSchema = jobSchema.extend({ warnings: z.array(z.string()).describe('What is odd about the selection.') })

const listSchema = z.object({
  items: z.array(jobSchema),
  next: z.string().nullable().describe('Give it back as after; null: that was all.'),
})

const estimateSchema = z.looseObject({
  events: z.number(),
  bytes: z.number(),
  exact: z.boolean(),
  warnings: z.array(z.string()),
})

const byId = z.strictObject({ id: idText })
const place = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z),([a-z0-9][a-z0-9-]{0,62})$/
const listQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  after: z
    .string()
    .regex(place)
    // A day that is in no calendar is the database's to refuse otherwise.
    .refine((given) => timeText.safeParse(given.split(',', 1)[0]).success && !given.startsWith('0000'), 'No such time')
    .optional()
    .describe('What the page before gave as next.'),
})

const commandBody = z.discriminatedUnion('action', [
  z.strictObject({ action: z.enum(['pause', 'resume', 'stop', 'cancel']) }),
  z.strictObject({ action: z.literal('step'), count: z.int().min(1).max(10_000).default(1) }),
  z.strictObject({ action: z.literal('speed'), speed: speedValue }),
  z.strictObject({ action: z.literal('jump'), to: timeText }),
])

export function replayRoutes({ jobs, replays, directory, newId, sleep }: ReplayRoutesOptions): Route[] {
  const told = (job: Job) => ({ status: 200, body: jobView(job, directory) })

  async function begin(
    asked: Asked<unknown, unknown, ReplayBody>,
    wanted: 'running' | 'paused',
  ): Promise<{ status: number; body: unknown; headers: Record<string, string> }> {
    const { key, again, body, signal } = asked
    // From the key where there is one: sent again behind the death of a server, it is the same replay.
    const context: DescribeContext = { id: key === null ? newId() : idOf(key), directory }
    const description = describe(body, context)
    const { id } = description
    // A type that nobody has is no fault, for its events may come from Kafka; but it is not passed over either.
    const warnings = await replays.warnings(description)
    const job = (again && (await existing(id))) || (await jobs.begin(description, wanted, signal))
    return { status: 201, body: { ...jobView(job, directory), warnings }, headers: { location: `replay/${id}` } }
  }

  const existing = (id: string): Promise<Job | null> =>
    jobs.find(id).catch((error: unknown) => {
      if (error instanceof FatalError && error.code === 'REPLAY_UNKNOWN') return null
      throw error
    })

  const watch = async ({ params, gone }: Asked<z.output<typeof byId>, undefined, undefined>) => {
    await jobs.find(params.id)
    const look = async () => jobView(await jobs.find(params.id), directory)
    return { status: 200, body: eventStream({ look, isLast: isEnd, sleep }, gone) }
  }

  const begun = { 201: { description: 'It runs; how it goes on is told under its id.', schema: begunSchema } }
  const refused = [404, 409, 410]
  return [
    route({
      method: 'POST',
      path: '/replay',
      id: 'beginReplay',
      tag: 'replay',
      summary: 'Send stored events again',
      description:
        'It survives a restart of the server: what was wanted is gone on with, behind the last event that is safe.',
      body: replayBody,
      answers: begun,
      problems: refused,
      keyed: 'again',
      handle: (asked) => begin(asked, 'running'),
    }),
    route({
      method: 'POST',
      path: '/replay/estimate',
      id: 'estimateReplay',
      tag: 'replay',
      summary: 'How many events and bytes it would be',
      body: estimateBody,
      answers: { 200: { description: 'About so much.', schema: estimateSchema } },
      problems: [404, 410],
      async handle({ body, signal }) {
        const description = describeEstimate(body)
        const warnings = await replays.warnings(description)
        return { status: 200, body: { ...(await replays.estimate(description, signal)), warnings } }
      },
    }),
    route({
      method: 'GET',
      path: '/replay',
      id: 'listReplays',
      tag: 'replay',
      summary: 'The replays that were asked for here, newest first',
      query: listQuery,
      answers: { 200: { description: 'Some of them.', schema: listSchema } },
      async handle({ query: { limit, after } }) {
        const [, madeAt, id] = place.exec(after ?? '') ?? []
        const behind = madeAt === undefined || id === undefined ? null : { madeAt, id }
        // One more than asked for tells whether there is more.
        const found = await jobs.list(limit + 1, behind)
        const items = found.slice(0, limit)
        const last = found.length > limit ? items.at(-1) : undefined
        const next = last === undefined ? null : `${last.madeAt},${last.id}`
        return { status: 200, body: { items: items.map((job) => jobView(job, directory)), next } }
      },
    }),
    route({
      method: 'GET',
      path: '/replay/{id}',
      id: 'showReplay',
      tag: 'replay',
      summary: 'How far a replay is',
      params: byId,
      answers: { 200: { description: 'So far.', schema: jobSchema } },
      problems: [404],
      handle: async ({ params }) => told(await jobs.find(params.id)),
    }),
    route({
      method: 'GET',
      path: '/replay/{id}/progress',
      id: 'watchReplay',
      tag: 'replay',
      summary: 'The same as server-sent events',
      description:
        'progress, whenever it has changed, at most twice a second; end when it has come to an end or was stopped; problem when nobody can tell any more. Data is what the path above answers.',
      params: byId,
      answers: { 200: { description: 'Events, until the end.', schema: jobSchema } },
      problems: [404],
      streams: true,
      handle: watch,
    }),
    route({
      method: 'DELETE',
      path: '/replay/{id}',
      id: 'giveUpReplay',
      tag: 'replay',
      summary: 'Give a replay up: its unfinished file goes, its target is free',
      params: byId,
      answers: { 200: { description: 'It is given up.', schema: jobSchema } },
      problems: refused,
      handle: async ({ params, signal }) => told(await jobs.control(params.id, { action: 'cancel' }, signal)),
    }),
    route({
      method: 'POST',
      path: '/controlled-replay',
      id: 'beginControlledReplay',
      tag: 'controlled-replay',
      summary: 'A replay that stands still at its beginning, to be let go or stepped through',
      body: controlledBody,
      answers: begun,
      problems: refused,
      keyed: 'again',
      handle: (asked) => begin(asked, 'paused'),
    }),
    route({
      method: 'POST',
      path: '/controlled-replay/{id}',
      id: 'steerReplay',
      tag: 'controlled-replay',
      summary: 'Pause, resume, step, change speed, jump, stop or cancel any replay',
      description:
        'Takes effect between two events. stop leaves it so that resume goes on with it; cancel is for good. A jump back is refused where the target takes an event only once.',
      params: byId,
      body: commandBody,
      answers: { 200: { description: 'How it stands behind that.', schema: jobSchema } },
      problems: refused,
      handle: async ({ params, body, signal }) => told(await jobs.control(params.id, commandOf(body), signal)),
    }),
  ]
}

function commandOf(body: z.output<typeof commandBody>): Command {
  if (body.action === 'speed') return { action: 'speed', speed: speedOf(body.speed) }
  if (body.action === 'jump') return { action: 'jump', toMs: Date.parse(body.to) }
  return body
}

const idOf = (key: string) => `k-${createHash('sha256').update(key).digest('hex').slice(0, 24)}`

const isEnd = ({ state }: ReturnType<typeof jobView>): boolean =>
  isOver({ state }) || state === 'failed' || state === 'stopped'

function jobView({ id, state, description, failure, madeAt, replay, progress }: Job, directory: string) {
  const atMs = progress?.atMs ?? replay?.atMs ?? null
  return {
    id,
    state,
    failure: failure ?? replay?.failure ?? null,
    madeAt,
    savedAt: replay?.savedAt ?? null,
    events: progress?.events ?? replay?.events ?? 0,
    bytes: progress?.bytes ?? replay?.bytes ?? 0,
    at: atMs === null ? null : new Date(atMs).toISOString(),
    share: progress?.share ?? (state === 'done' ? 1 : null),
    perSecond: progress?.perSecond ?? null,
    etaMs: progress?.etaMs ?? null,
    lateMs: progress?.lateMs ?? null,
    givesWay: progress?.givesWay ?? null,
    fromPostgres: progress?.fromPostgres ?? null,
    fromKafka: progress?.fromKafka ?? null,
    request: shown(description, directory),
  }
}
