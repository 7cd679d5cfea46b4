/** What happened in a run, as lines of time, who and what; and a number that is the same only if all of it was the same. */

export interface Line {
  readonly atMs: number
  readonly who: string
  readonly what: string
}

export class History {
  readonly lines: Line[] = []
  #hash = 0x811c9dc5

  note(atMs: number, who: string, what: string): void {
    this.lines.push({ atMs, who, what })
    let hash = this.#hash ^ Math.floor(atMs * 1000)
    for (let at = 0; at < what.length; at++) hash = Math.imul(hash ^ what.charCodeAt(at), 0x01000193)
    for (let at = 0; at < who.length; at++) hash = Math.imul(hash ^ who.charCodeAt(at), 0x01000193)
    this.#hash = hash
  }

  get hash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }
}

/** Aligned columns: simulated seconds, who, what. */
export function timeline(lines: readonly Line[]): string {
  const width = lines.reduce((most, { who }) => Math.max(most, who.length), 0)
  return lines
    .map(({ atMs, who, what }) => `${(atMs / 1000).toFixed(4).padStart(10)}  ${who.padEnd(width)}  ${what}\n`)
    .join('')
}
