/** Milliseconds, counted in whole ones up to ten seconds: one array cell per value, one increment per record. */
export interface Histogram {
  add(ms: number): void
  /** The smallest number of ms that this share of the values does not exceed; 0 when there are none. */
  quantile(share: number): number
}

const msMax = 10_000

export function createHistogram(): Histogram {
  const cells = new Float64Array(msMax + 1)
  let count = 0
  return {
    add(ms) {
      const cell = ms <= 0 ? 0 : ms >= msMax ? msMax : Math.ceil(ms)
      cells[cell] = (cells[cell] as number) + 1
      count++
    },
    quantile(share) {
      const wanted = count * share
      let seen = 0
      for (let ms = 0; ms <= msMax; ms++) {
        seen += cells[ms] as number
        if (seen >= wanted && seen > 0) return ms
      }
      return 0
    },
  }
}
