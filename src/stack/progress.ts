/** How the parts of set-up tell what they are doing: a part, a line that replaces that part's last one, and whether the part is finished. */
export type Progress = { part: string; text: string; done: boolean }
export type OnProgress = (progress: Progress) => void

/** Writes progress as plain lines, one per change; repeats of a part within a second are left out unless they finish it. */
export function progressLines(write: (text: string) => void, now: () => number): OnProgress {
  const started = now()
  const last = new Map<string, number>()
  return ({ part, text, done }) => {
    const at = now()
    if (!done && at - (last.get(part) ?? Number.NEGATIVE_INFINITY) < 1000) return
    last.set(part, at)
    write(`${((at - started) / 1000).toFixed(1).padStart(6)} s  ${part.padEnd(10)} ${text}\n`)
  }
}
