/**
 * How fast a replay may go beside others: slower while it has to wait for a core itself, for then the live flow on this machine waits too; faster again
 * when it need not. It falls fast and rises slowly, so it settles where there is room. Pure: told how long its thread has run, and how long it has waited to run.
 */
export interface CoreTimes {
  readonly ranMs: number
  readonly waitedMs: number
}

const lookMs = 200
/** Of the time in which it could have run. Measured on two cores: 0.1 to 0.4 where it is alone with its servers, 0.8 beside a flow that has them full. */
const waitedShareMax = 0.55
const fall = 0.7
const rise = 1.15
/** It is to come to its end, and nobody feels that many. */
const perSecondMin = 1000
/** Of the most: a short replay is over soon, and a live flow is asked before all is taken. */
const firstShare = 0.25

export class Yielding {
  readonly #most: number
  #perSecond: number
  #givesWay = false
  #last: (CoreTimes & { readonly ms: number }) | null = null

  constructor(most: number) {
    this.#most = most
    this.#perSecond = Math.min(most, Math.max(perSecondMin, most * firstShare))
  }

  /** `times`: null where nobody tells, which is no reason to go slowly. */
  perSecond(nowMs: number, times: () => CoreTimes | null): number {
    if (this.#last !== null && nowMs - this.#last.ms < lookMs) return this.#perSecond
    const now = times()
    if (now === null) return this.#most
    if (this.#last !== null) {
      const waited = now.waitedMs - this.#last.waitedMs
      const share = waited / Math.max(1, waited + now.ranMs - this.#last.ranMs)
      const isFull = share > waitedShareMax
      const wanted = this.#perSecond * (isFull ? fall : rise)
      this.#perSecond = Math.min(this.#most, Math.max(perSecondMin, wanted))
      this.#givesWay = this.#perSecond < this.#most && (isFull || this.#givesWay)
    }
    this.#last = { ...now, ms: nowMs }
    return this.#perSecond
  }

  /** It could go faster, and leaves the cores to others. */
  get givesWay(): boolean {
    return this.#givesWay
  }
}
