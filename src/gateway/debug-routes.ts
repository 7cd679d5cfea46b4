/** Debug sessions over the network: opened, stepped through, looked at, ended. They live in the server's memory, and end when nobody looks for half an hour. */
import { z } from 'zod'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import type { LoadedConsumer } from '../process/load-consumer.ts'
import { fitting, loadReducer, loadReducers } from '../process/load-reducer.ts'
import { readRange, type StateContext } from '../state/command.ts'
import { type DebugSession, type DebugView, openDebug } from '../state/debug.ts'
import { withHistory } from '../state/postgres-history.ts'
import { requireKept, stateAt } from '../state/state-at.ts'
import { consumerText, text, timeText } from './describe.ts'
import type { Pool } from './postgres-pool.ts'
import { RequestError } from './problem.ts'
import { type Route, route } from './route.ts'
import { reducerText, subjectText } from './state-schemas.ts'

export interface DebugRoutesOptions {
  readonly settings: Settings
  readonly loadConsumer: (name: string) => Promise<LoadedConsumer>
  readonly pool: Pick<Pool, 'with'>
  readonly newId: () => string
  readonly now: () => number
}

interface Open {
  readonly id: string
  readonly subject: string | null
  readonly from: string | null
  readonly to: string
  readonly debug: DebugSession
  usedMs: number
  /** Of the request that is under way. */
  signal: AbortSignal
}

const sessionsMax = 20
const idleMsMax = 30 * 60_000
/** A long run answers where it is while there is still time to answer. */
const runShare = 0.7

// Each star is a place to try anew at, at each event.
const breakpoint = text(1000).refine((given) => given.split('*').length <= 4, 'More than three stars')

const openBody = z.strictObject({
  subject: subjectText.optional().describe('Left out: of all; then from is needed.'),
  from: timeText.optional(),
  to: timeText.optional(),
  types: z.array(text(1024)).max(100).default([]),
  breakpoints: z
    .array(breakpoint)
    .max(50)
    .default([])
    .describe('type:com.bss.order.*, subject:ord_1, or a condition: data.amount > 100 and after.status changes'),
  reducer: reducerText.optional(),
  consumer: consumerText.default('cloud-events'),
})

const moveBody = z.discriminatedUnion('action', [
  z.strictObject({ action: z.literal('step'), count: z.int().min(1).max(1000).default(1) }),
  z.strictObject({ action: z.enum(['back', 'run', 'restart']) }),
  z.strictObject({ action: z.literal('toggle'), breakpoint }),
])

const viewSchema = z.looseObject({
  id: z.string(),
  position: z.number().describe('0: before the first event.'),
  before: z.unknown(),
  after: z.unknown(),
  changes: z.array(z.looseObject({ path: z.string(), kind: z.string() })),
  hit: z.string().nullable().describe('The breakpoint that stopped here.'),
  atEnd: z.boolean(),
})

const byId = z.strictObject({ id: z.string().regex(/^[a-z0-9-]{1,80}$/) })

export function debugRoutes({ settings, loadConsumer, pool, newId, now }: DebugRoutesOptions): Route[] {
  const sessions = new Map<string, Open>()

  function sweep(): void {
    for (const { id, usedMs } of sessions.values()) if (now() - usedMs > idleMsMax) sessions.delete(id)
  }

  function find(id: string, signal: AbortSignal): Open {
    sweep()
    const found = sessions.get(id)
    if (found === undefined) throw new FatalError('DEBUG_UNKNOWN', `There is no debug session ${id}.`, 'Open one.')
    found.usedMs = now()
    found.signal = signal
    return found
  }

  const told = ({ id, subject, from, to }: Open, view: DebugView, status = 200) => ({
    status,
    body: { id, subject, from, to, ...view },
    headers: status === 201 ? { location: `debug-session/${id}` } : {},
  })

  async function open(body: z.output<typeof openBody>, signal: AbortSignal): Promise<Open> {
    const { subject, types, breakpoints, reducer: named } = body
    sweep()
    if (sessions.size >= sessionsMax)
      throw new RequestError('REQUEST_LIMIT', `${sessionsMax} debug sessions are open.`, 'End one of them.')
    if (subject === undefined && body.from === undefined)
      throw new FatalError('USAGE', 'A debug session needs a subject, or from.', 'Name one of them.')
    const { definition } = await loadConsumer(body.consumer)
    const range = {
      ...(body.from !== undefined && { from: body.from }),
      ...(body.to !== undefined && { to: body.to }),
    }
    const { from, to } = readRange(range, { now, settings } as StateContext)
    const one = named === undefined ? null : await loadReducer(named)
    const all = one === null ? await loadReducers() : []
    const reducerOf = (who: string) => one ?? fitting(all, who)
    const look: Parameters<typeof openDebug>[0]['look'] = (work) =>
      pool.with((session) => withHistory(session, definition.table, work), opened.signal)
    const common = { from, to, subject: subject ?? null }
    const debug = openDebug({ ...common, types, reducerOf, look })
    const opened: Open = { ...common, id: newId(), debug, usedMs: now(), signal }
    await look(async (history) => {
      const reducer = subject === undefined ? null : reducerOf(subject)
      if (subject !== undefined && reducer !== null) await stateAt(history, reducer, subject, to)
      else requireKept(await history.days(), to)
    })
    for (const text of breakpoints) await debug.toggle(text)
    return opened
  }

  async function move({ debug }: Open, body: z.output<typeof moveBody>, signal: AbortSignal): Promise<DebugView> {
    switch (body.action) {
      case 'step': {
        let view = await debug.step()
        for (let more = body.count - 1; more > 0 && !view.atEnd && !signal.aborted; more--) view = await debug.step()
        return view
      }
      case 'run':
        return debug.run(AbortSignal.any([signal, AbortSignal.timeout(settings.gatewayTimeoutMs * runShare)]))
      case 'toggle':
        return debug.toggle(body.breakpoint)
      default:
        return debug[body.action]()
    }
  }

  const answers = { 200: { description: 'Where it stands.', schema: viewSchema } }
  return [
    route({
      method: 'POST',
      path: '/debug-session',
      id: 'openDebugSession',
      tag: 'debug-session',
      summary: 'Step through the events of a subject, or of all in a range, with the state before and after each',
      body: openBody,
      answers: { 201: { description: 'It stands before the first event.', schema: viewSchema } },
      problems: [404, 410],
      async handle({ body, signal }) {
        const opened = await open(body, signal)
        const view = await opened.debug.view()
        sessions.set(opened.id, opened)
        return told(opened, view, 201)
      },
    }),
    route({
      method: 'GET',
      path: '/debug-session',
      id: 'listDebugSessions',
      tag: 'debug-session',
      summary: 'The sessions that are open',
      answers: {
        200: {
          description: 'All of them.',
          schema: z.object({ items: z.array(z.looseObject({ id: z.string() })) }),
        },
      },
      async handle() {
        sweep()
        const items = [...sessions.values()].map(({ id, subject, from, to, usedMs }) => ({
          id,
          subject,
          from,
          to,
          idleMs: now() - usedMs,
        }))
        return { status: 200, body: { items } }
      },
    }),
    route({
      method: 'GET',
      path: '/debug-session/{id}',
      id: 'showDebugSession',
      tag: 'debug-session',
      summary: 'Where a session stands',
      params: byId,
      answers,
      problems: [404],
      async handle({ params, signal }) {
        const found = find(params.id, signal)
        return told(found, await found.debug.view())
      },
    }),
    route({
      method: 'POST',
      path: '/debug-session/{id}',
      id: 'moveDebugSession',
      tag: 'debug-session',
      summary: 'Step, back, run to the next breakpoint, restart; set a breakpoint, or take it away',
      description:
        'A run that takes long answers where it is, with no breakpoint hit and not at the end: run on from there.',
      params: byId,
      body: moveBody,
      answers,
      problems: [404, 409, 410],
      async handle({ params, body, signal }) {
        const found = find(params.id, signal)
        return told(found, await move(found, body, signal))
      },
    }),
    route({
      method: 'DELETE',
      path: '/debug-session/{id}',
      id: 'endDebugSession',
      tag: 'debug-session',
      summary: 'End a session',
      params: byId,
      answers: { 204: { description: 'It is ended.' } },
      problems: [404],
      async handle({ params, signal }) {
        sessions.delete(find(params.id, signal).id)
        return { status: 204 }
      },
    }),
  ]
}
