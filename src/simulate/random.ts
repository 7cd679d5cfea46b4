/** A small seeded generator (sfc32, 128 bits of state): the same seed gives the same numbers on every machine. Not for secrets. */
export interface Random {
  /** 32 random bits, unsigned. */
  bits(): number
  /** In [0, 1). */
  unit(): number
  /** An integer in [0, below). */
  below(below: number): number
  /** An integer in [0, below), small ones far more often: the square of a uniform number, so that the first 1 % get 10 %. */
  skewed(below: number): number
  /** A version 4 UUID in its written form. */
  uuid(): string
  /** Goes on as a stream of its own for this place (a whole number below 2^43): whatever was drawn before, the same place gives the same numbers. */
  seek(place: number): void
}

const hex4 = Array.from({ length: 65_536 }, (_, i) => i.toString(16).padStart(4, '0'))

export function createRandom(seed: number): Random {
  let a = seed | 0
  let b = Math.floor(seed / 0x1_0000_0000) | 0
  let c = 0x9e3779b9 | 0
  let d = 1
  const bits = () => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (c << 21) | (c >>> 11)
    c = (c + t) | 0
    return t >>> 0
  }
  const high = Math.floor(seed / 0x1_0000_0000) | 0
  // The seed has to spread over the whole state before the numbers look random.
  for (let i = 0; i < 16; i++) bits()
  const unit = () => bits() / 0x1_0000_0000
  const below = (limit: number) => Math.floor(unit() * limit)
  return {
    bits,
    unit,
    below,
    seek(place) {
      // Seed and place side by side: no two pairs share a state, and steps never make two states one.
      a = seed | 0
      b = high | (Math.floor(place / 0x1_0000_0000) << 21)
      c = place | 0
      d = 0x6d2b79f5
      for (let i = 0; i < 12; i++) bits()
    },
    skewed(limit) {
      const u = unit()
      return Math.floor(u * u * limit)
    },
    uuid() {
      const [p, q, r, s] = [bits(), bits(), bits(), bits()]
      const h = hex4 as readonly string[]
      return `${h[p >>> 16]}${h[p & 0xffff]}-${h[q >>> 16]}-${h[0x4000 | (q & 0xfff)]}-${h[0x8000 | (r & 0x3fff)]}-${h[r >>> 16]}${h[s >>> 16]}${h[s & 0xffff]}`
    },
  }
}

/**
 * Zipf's law: of `count` things the one of rank k (from 0) is drawn in proportion to 1 / (k + 1)^exponent. 0 is even, 1 is how words, customers and
 * cities are, 2 leaves three fifths to the first. Takes a number in [0, 1).
 */
export function createZipf(count: number, exponent: number): (unit: number) => number {
  const sums = new Float64Array(count)
  let sum = 0
  for (let rank = 0; rank < count; rank++) {
    sum += (rank + 1) ** -exponent
    sums[rank] = sum
  }
  return (unit) => {
    const wanted = unit * sum
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((sums[middle] as number) > wanted) high = middle
      else low = middle + 1
    }
    return low
  }
}
