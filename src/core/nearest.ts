/** Which of the known names did a person probably mean? For "did you mean ...?" and nothing else. */

function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      current.push(Math.min(previous[j]! + 1, current[j - 1]! + 1, previous[j - 1]! + same))
    }
    previous = current
  }
  return previous[b.length]!
}

/** The nearest known name, or null when nothing is near enough to be worth a guess. */
export function nearest(given: string, known: Iterable<string>): string | null {
  const wanted = given.toLowerCase()
  let best: string | null = null
  let bestDistance = Math.max(2, Math.floor(given.length / 3)) + 1
  for (const name of known) {
    const candidate = name.toLowerCase()
    const apart = candidate.startsWith(wanted) || wanted.startsWith(candidate) ? 2 : distance(wanted, candidate)
    if (apart < bestDistance) {
      best = name
      bestDistance = apart
    }
  }
  return best
}
