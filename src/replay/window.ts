/**
 * Which stretch of time to ask PostgreSQL for next. A replay reads by windows, each a query of its own that PostgreSQL sorts in memory: no snapshot is
 * held for longer than a window takes (an old one would keep every version of the ledger's rows alive), and memory stays the same whatever the range.
 * A window is as wide as about so many rows were in the last one. Pure.
 */

export interface Window {
  readonly fromMs: number
  /** Exclusive. */
  readonly toMs: number
}

export const windowRows = 10_000
export const firstWidthMs = 1000
const growthMax = 8
const widthMsMax = 86_400_000

/** `rows` were in the last window of this width. */
export function nextWidth(widthMs: number, rows: number): number {
  const wanted = rows === 0 ? growthMax : Math.min(growthMax, windowRows / rows)
  return Math.min(widthMsMax, Math.max(1, Math.round(widthMs * wanted)))
}

export function windowAt(fromMs: number, widthMs: number, endMs: number): Window {
  return { fromMs, toMs: Math.min(fromMs + widthMs, endMs) }
}
