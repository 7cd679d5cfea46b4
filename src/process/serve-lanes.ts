/** Keeps every lane's pipeline running: what is lost starts over behind the gate, what is fatal or unknown ends the promise of its lane. */
import type { Logger } from 'pino'
import type { Backoff } from '../core/backoff.ts'
import type { Decoded } from '../core/batch.ts'
import { LostError } from '../core/errors.ts'
import type { Metrics } from '../core/registry.ts'
import type { Absence } from '../flow/absence.ts'
import type { Lane } from '../flow/lane.ts'
import { flow } from '../flow/pipeline.ts'
import type { Settler } from '../flow/settle/settler.ts'
import type { Assignment } from './assignment.ts'
import { forgottenBy } from './forgotten.ts'
import { inTrace } from './log.ts'
import type { LaneObserver } from './observe.ts'
import type { OpenRooms } from './open-rooms.ts'

export interface ServeLanesOptions {
  readonly lanes: readonly Lane[]
  readonly observers: readonly LaneObserver[]
  readonly rooms: OpenRooms
  readonly settler: Settler
  readonly absence: Absence<Lane>
  readonly admit: (batch: Decoded) => void
  readonly assignment: Assignment
  readonly backoff: Backoff
  readonly metrics: Metrics
  readonly logger: Logger
  readonly signal: AbortSignal
}

export interface ServedLanes {
  /** One per lane: resolves when the lane has ended and is empty. */
  readonly serving: readonly Promise<void>[]
  /** Compares the streams with what was published to them; lanes of streams that have forgotten something start over. */
  compareStreams(): Promise<void>
  /** Redis is back: lanes that have left batches unpublished start over. */
  catchUp(): void
  /** Something was lost that none of the lane's rooms has noticed. */
  startOver(lane: Lane, lost: LostError): void
}

export function serveLanes(options: ServeLanesOptions): ServedLanes {
  const { lanes, observers, rooms, settler, absence, admit, assignment, backoff, metrics, logger, signal } = options
  const { decode, publish } = rooms
  /** Aborted with a LostError: the lane has to start over, though none of its rooms has noticed. */
  const relapses = lanes.map(() => new AbortController())

  async function serve(lane: Lane, index: number): Promise<void> {
    const persist = rooms.persist.lane(index)
    const observer = observers[index] as LaneObserver
    try {
      for (;;) {
        try {
          const relapse = (relapses[index] as AbortController).signal
          const either = AbortSignal.any([signal, relapse])
          return await flow(
            lane,
            { decode, persist, publish, settle: settler, absence, admit },
            backoff,
            observer,
            either,
          )
        } catch (error) {
          const traceId = observer.tracer?.abandon(error)
          if (!(error instanceof LostError) || signal.aborted) throw error
          relapses[index] = new AbortController()
          if (error.code === 'FENCED') metrics.counter('fenced_total').add()
          metrics.counter('lost_total', { code: error.code }).add()
          logger.warn(
            { lane: index, code: error.code, reason: error.message, ...inTrace(traceId) },
            'lost: starting the lane over',
          )
          for (const clock of Object.values(observer.clocks)) clock.reset()
          absence.startsOver(lane)
          assignment.reset(lane)
        }
      }
    } finally {
      await persist.close().catch(() => {})
    }
  }

  return {
    serving: lanes.map(serve),
    startOver: (lane, lost) => relapses[lanes.indexOf(lane)]?.abort(lost),
    catchUp() {
      const lost = new LostError('PUBLISH_BEHIND', 'Redis is back; what was stored meanwhile is published now')
      for (const [index, lane] of lanes.entries()) if (absence.behind.has(lane)) relapses[index]?.abort(lost)
    },
    async compareStreams() {
      for (const [index, lane] of lanes.entries()) {
        const lost = await forgottenBy(publish, lane)
        if (lost !== null) relapses[index]?.abort(lost)
      }
    },
  }
}
