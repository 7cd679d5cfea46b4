/** What the doctor says: one line each, and what to do about it where something is to be done. */

export type Level = 'ok' | 'warn' | 'fail'

export interface Finding {
  readonly area: 'settings' | 'kafka' | 'postgres' | 'redis' | 'clocks' | 'ledger'
  readonly level: Level
  readonly found: string
  /** Present unless the level is ok. */
  readonly remedy?: string
}

/** Collects the findings of one area; a check that throws half-way leaves what it had found. */
export class Chart {
  readonly findings: Finding[] = []
  readonly #area: Finding['area']

  constructor(area: Finding['area']) {
    this.#area = area
  }

  ok(found: string): void {
    this.findings.push({ area: this.#area, level: 'ok', found })
  }
  warn(found: string, remedy: string): void {
    this.findings.push({ area: this.#area, level: 'warn', found, remedy })
  }
  fail(found: string, remedy: string): void {
    this.findings.push({ area: this.#area, level: 'fail', found, remedy })
  }
  /** A fail with its remedy, or the good news. */
  check(holds: boolean, good: string, bad: string, remedy: string, level: 'warn' | 'fail' = 'fail'): boolean {
    if (holds) this.ok(good)
    else this[level](bad, remedy)
    return holds
  }
}

/** What the server's clock says against ours: its time minus the middle of our question, and how far that may be off. */
export interface ClockReading {
  readonly aheadMs: number
  readonly errorMs: number
}

export async function readClock(now: () => number, ask: () => Promise<number>): Promise<ClockReading> {
  const before = now()
  const theirs = await ask()
  const after = now()
  return { aheadMs: theirs - (before + after) / 2, errorMs: (after - before) / 2 }
}
