/**
 * A debug session: through the events of one subject, or of a range of all, one at a time, with the state before and after each. An object without a face;
 * the terminal's and any other call the same few methods.
 *
 * No transaction stays open while somebody thinks: events come by the page, each page as it is when it is read. States are kept for the subjects that were
 * looked at last; a subject's state is folded when it is first asked for, and no sooner, so running through a range costs a look at each event.
 */
import { FatalError } from '../core/errors.ts'
import type { Json } from '../core/json.ts'
import type { LoadedReducer } from '../process/load-reducer.ts'
import { type Breakpoint, readBreakpoint } from './breakpoint.ts'
import { type Change, diff } from './diff.ts'
import { createFold, type Fold } from './fold.ts'
import type { History, Place, Span, StoredEvent } from './history.ts'
import { type Instant, justBefore } from './instant.ts'
import { foldTo } from './state-at.ts'
import { placeOf } from './timeline.ts'

export interface DebugOptions {
  /** Null: of all subjects. */
  readonly subject: string | null
  readonly types?: readonly string[]
  /** Null: from the beginning. */
  readonly from: Instant | null
  readonly to: Instant
  /** Null: no reducer is about such a subject. Its events are shown without a state. */
  readonly reducerOf: (subject: string) => LoadedReducer | null
  /** A look at the past, in a transaction of its own. */
  readonly look: <T>(work: (history: History) => Promise<T>) => Promise<T>
}

export interface DebugView extends Partial<StoredEvent> {
  /** 0: before the first event. */
  readonly position: number
  readonly reducer: string | null
  readonly before: Json
  readonly after: Json
  readonly changes: readonly Change[]
  /** What the reducer did wrong, here or at an earlier event of the subject: then there is no state after it. */
  readonly failed: string | null
  /** The breakpoint that stopped here. */
  readonly hit: string | null
  /** There is no event behind this one. */
  readonly atEnd: boolean
  readonly breakpoints: readonly { readonly text: string; readonly hits: number }[]
}

export interface DebugSession {
  view(): Promise<DebugView>
  step(): Promise<DebugView>
  /** At most as far as `rememberedMax` steps. */
  back(): Promise<DebugView>
  /** To the next event that a breakpoint is for, or to the end. */
  run(signal?: AbortSignal): Promise<DebugView>
  restart(): Promise<DebugView>
  /** Set, or taken away where it was set. */
  toggle(text: string): Promise<DebugView>
}

interface Step extends StoredEvent {
  readonly position: number
  /** Undefined: not folded yet. */
  states?: States
}

interface States {
  readonly before: Json
  readonly after: Json
  /** The reducer failed, here or at an earlier event of the subject: there is no state after it. */
  readonly failed: string | null
}

const noStates: States = { before: null, after: null, failed: null }

const rememberedMax = 1000
const statesMax = 1000
const pageEvents = 500
const breakpointsMax = 50

export function openDebug({ subject, types, from, to, reducerOf, look }: DebugOptions): DebugSession {
  const start: Place | null = from === null ? null : { time: justBefore(from) }
  const breakpoints = new Map<string, { breakpoint: Breakpoint; hits: number }>()
  const folds = new Map<string, Fold>()
  /** Between events of some types lie those of others, which change states too: then each is folded for itself. */
  const foldsOn = types === undefined || types.length === 0
  /** Of subjects, as of the last event that was read. */
  let states = new Map<string, Json>()
  let steps: Step[] = []
  /** In `steps`; -1: before the first. */
  let at = -1
  let ahead: StoredEvent[] = []
  let last: Place | null = start
  let read = 0
  let isEnd = false
  let hit: string | null = null

  const foldOf = (reducer: LoadedReducer): Fold => {
    const fold = folds.get(reducer.name) ?? createFold(reducer)
    folds.set(reducer.name, fold)
    return fold
  }

  const keep = (who: string, state: Json) => {
    states.delete(who)
    states.set(who, state)
    const [oldest] = states.keys()
    if (states.size > statesMax && oldest !== undefined) states.delete(oldest)
  }

  async function refill(): Promise<void> {
    const span: Span = {
      after: last,
      to: { time: to },
      limit: pageEvents,
      ...(subject !== null && { subject }),
      ...(!foldsOn && { types }),
    }
    await look(async (history) => {
      for await (const page of history.events(span)) ahead.push(...page)
    })
    const end = ahead.at(-1)
    if (end === undefined) isEnd = true
    else last = placeOf(end)
  }

  /** The next event, or null at the end. A subject whose state is known is folded on; any other one is left for later. */
  async function next(): Promise<Step | null> {
    if (at < steps.length - 1) return steps[++at] as Step
    if (ahead.length === 0 && !isEnd) await refill()
    const stored = ahead.shift()
    if (stored === undefined) return null
    const step: Step = { ...stored, position: ++read }
    const before = states.get(stored.event.subject)
    const reducer = reducerOf(stored.event.subject)
    if (before !== undefined && reducer !== null && foldsOn) fill(step, reducer, before)
    steps.push(step)
    if (steps.length > rememberedMax) steps.shift()
    at = steps.length - 1
    return step
  }

  function fill(step: Step, reducer: LoadedReducer, before: Json): void {
    try {
      const after = foldOf(reducer)(before, step.event)
      step.states = { before, after, failed: null }
      // Of an older step it is not the state of now.
      if (step.position === read && foldsOn) keep(step.event.subject, after)
    } catch (error) {
      step.states = { before, after: null, failed: failureOf(error) }
      states.delete(step.event.subject)
    }
  }

  async function know(step: Step): Promise<States> {
    const reducer = reducerOf(step.event.subject)
    if (step.states === undefined && reducer !== null) {
      const { time, key } = step.event
      const place = { time, key: keyBefore(key) }
      try {
        const { state } = await look((history) => foldTo(history, reducer, step.event.subject, place))
        fill(step, reducer, state)
      } catch (error) {
        step.states = { ...noStates, failed: failureOf(error) }
      }
    }
    return step.states ?? noStates
  }

  async function stops(step: Step): Promise<string | null> {
    for (const [text, one] of breakpoints) {
      const { before, after } = one.breakpoint.needsState ? await know(step) : noStates
      if (!one.breakpoint.hits(step.event, before, after)) continue
      one.hits++
      return text
    }
    return null
  }

  async function view(): Promise<DebugView> {
    if (at === steps.length - 1 && ahead.length === 0 && !isEnd) await refill()
    const step = steps[at]
    const all = [...breakpoints].map(([text, { hits }]) => ({ text, hits }))
    const atEnd = at === steps.length - 1 && ahead.length === 0
    const nothing = { position: 0, reducer: null, before: null, after: null, changes: [], failed: null, hit: null }
    if (step === undefined) return { ...nothing, atEnd, breakpoints: all }
    const { before, after, failed } = await know(step)
    const { event, stored, place, position } = step
    const reducer = reducerOf(event.subject)?.name ?? null
    return {
      position,
      event,
      stored,
      place,
      reducer,
      before,
      after,
      changes: failed === null ? diff(before, after) : [],
      failed,
      hit,
      atEnd,
      breakpoints: all,
    }
  }

  let turn: Promise<unknown> = Promise.resolve()
  /** Whoever calls while another call is under way waits for it: there is one place in the history. */
  const inTurn = (work?: () => void | Promise<void>): Promise<DebugView> => {
    const mine = turn.then(async () => {
      await work?.()
      return view()
    })
    turn = mine.catch(() => {})
    return mine
  }

  return {
    view: () => inTurn(),
    step: () =>
      inTurn(async () => {
        hit = null
        await next()
      }),
    back: () =>
      inTurn(() => {
        hit = null
        if (at > 0 || (at === 0 && steps[0]?.position === 1)) at--
      }),
    run: (signal) =>
      inTurn(async () => {
        hit = null
        for (let step = await next(); step !== null; step = await next()) {
          hit = await stops(step)
          if (hit !== null || signal?.aborted) break
        }
      }),
    restart: () =>
      inTurn(() => {
        states = new Map()
        steps = []
        ahead = []
        at = -1
        last = start
        read = 0
        isEnd = false
        hit = null
      }),
    toggle: (text) =>
      inTurn(() => {
        if (breakpoints.delete(text)) return
        if (breakpoints.size === breakpointsMax)
          throw new FatalError('USAGE', `There are ${breakpointsMax} breakpoints.`, 'Take one away first.')
        breakpoints.set(text, { breakpoint: readBreakpoint(text), hits: 0 })
      }),
  }
}

/** What a reducer does wrong is shown; anything else ends the session. */
function failureOf(error: unknown): string {
  if (error instanceof FatalError && error.code === 'REDUCER_FAILED') return error.message
  throw error
}

/** The key that comes just before: what is up to it is all that is before the other one. */
export function keyBefore(key: string): string {
  const number = BigInt(`0x${key.replaceAll('-', '')}`)
  const hex = (number === 0n ? 0n : number - 1n).toString(16).padStart(32, '0')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
