/**
 * A webhook: events by HTTP POST, one after the other, so that they arrive in order. Whatever answers that it is busy is asked again; whatever refuses ends
 * the replay, with the event and the answer; so does one that sends us elsewhere. Killed, the events since the last note of a position come again, under the same ids.
 */
import { FatalError, TransientError } from '../core/errors.ts'
import type { HttpMode } from './description.ts'
import type { ReplayEvent } from './entry.ts'
import { httpMessage } from './http-message.ts'
import type { ReplayTarget } from './target.ts'

export interface WebhookTargetOptions {
  readonly url: string
  readonly mode: HttpMode
}

const batchEventsMax = 100
const answerMs = 30_000
/** Try again: the server is busy, or there is none just now. */
const busy = new Set([408, 425, 429, 500, 502, 503, 504])

export function openWebhookTarget({ url, mode }: WebhookTargetOptions): ReplayTarget {
  async function post(events: readonly ReplayEvent[], ending: AbortSignal): Promise<void> {
    const { headers, body } = httpMessage(
      mode,
      events.map(({ entry }) => entry),
    )
    let answer: Response
    try {
      answer = await fetch(url, {
        method: 'POST',
        headers,
        body: body === null ? null : new Uint8Array(body),
        // Somewhere else is for a person to choose: the answer is told.
        redirect: 'manual',
        signal: AbortSignal.any([ending, AbortSignal.timeout(answerMs)]),
      })
      // Read to its end, so that the connection can be used again.
      const text = (await answer.text()).slice(0, 200)
      if (answer.ok) return
      if (!busy.has(answer.status)) throw refused(answer.status, text, events[0] as ReplayEvent)
    } catch (error) {
      if (error instanceof FatalError) throw error
      const { cause, message } = error as Error
      throw new TransientError('REPLAY_REFUSED', `${url}: ${(cause as Error | undefined)?.message ?? message}`, error)
    }
    throw new TransientError('REPLAY_REFUSED', `${url} answers ${answer.status}`)
  }

  function refused(status: number, text: string, { entry }: ReplayEvent): FatalError {
    const { source, id } = JSON.parse(entry.toString('utf8')) as { source: string; id: string }
    return new FatalError(
      'REPLAY_REFUSED',
      `${url} refuses the event (${source}, ${id}): ${status} ${text.replaceAll(/\s+/g, ' ')}`.trimEnd(),
      'Mend the receiver, then go on with the replay.',
    )
  }

  return {
    rewinds: true,
    eventsMax: mode === 'batch' ? batchEventsMax : 1,
    after: async () => undefined,
    write: (events, _, ending) => post(events, ending),
    settle: async () => null,
    finish: async () => {},
    discard: async () => {},
    close: async () => {},
  }
}
