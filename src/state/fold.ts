/**
 * Events into a state, one after the other, by a reducer. What a reducer answers is plain JSON, or it is refused with the event it was at; and frozen, so
 * that no later event can change a state that was already told.
 */
import { FatalError } from '../core/errors.ts'
import { freezeJson, type Json } from '../core/json.ts'
import type { ReducedEvent } from '../define.ts'
import type { LoadedReducer } from '../process/load-reducer.ts'

/** The state after an event. */
export type Fold = (state: Json, event: ReducedEvent) => Json

export function createFold({ name, definition }: Pick<LoadedReducer, 'name' | 'definition'>): Fold {
  const known = new WeakSet<object>()
  return (state, event) => {
    const { type, time, key } = event
    const failed = (what: string, cause?: unknown) =>
      new FatalError(
        'REDUCER_FAILED',
        `reducers/${name}.ts at the event ${key} (${type}, ${time}): ${what}.`,
        'Correct the reducer; `millrace state timeline --states` and `state debug` show what came before this event.',
        cause,
      )
    // A state from elsewhere, a snapshot's, is as frozen as our own.
    freezeJson(state, known)
    let after: unknown
    try {
      after = definition.reduce(state, event)
    } catch (error) {
      throw failed(`it throws ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`, error)
    }
    const fault = freezeJson(after, known)
    if (fault !== null)
      throw failed(`what it answers is no plain JSON: state${fault.startsWith('is') ? ' ' : ''}${fault}`)
    return after as Json
  }
}
