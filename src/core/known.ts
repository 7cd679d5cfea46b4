/**
 * What short texts mean, found by their bytes: names and types recur from event to event, so each is made a string and worked out once. A text that
 * falls on the place of another takes it, so that no sender can make the table grow.
 */

/** So many that a few dozen hardly ever meet. */
const placesBits = 12
const bytesMax = 128

interface Made<T> {
  readonly bytes: Uint8Array
  readonly value: T
}

export class Known<T> {
  readonly #made: (Made<T> | undefined)[] = new Array(1 << placesBits).fill(undefined)
  readonly #make: (text: string) => T

  constructor(make: (text: string) => T) {
    this.#make = make
  }

  of(bytes: Buffer, start: number, end: number): T {
    let hash = 0
    for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + (bytes[at] as number)) | 0
    const place = Math.imul(hash, 0x9e3779b1) >>> (32 - placesBits)
    const known = this.#made[place]
    if (known !== undefined && isSame(known.bytes, bytes, start, end)) return known.value
    const value = this.#make(bytes.toString('utf8', start, end))
    if (end - start <= bytesMax) this.#made[place] = { bytes: Uint8Array.from(bytes.subarray(start, end)), value }
    return value
  }
}

function isSame(some: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (some.length !== end - start) return false
  for (let i = 0; i < some.length; i++) if (some[i] !== bytes[start + i]) return false
  return true
}
