/** What a driver's error says, for use inside a sentence: its causes from the outside in, each said once, on one line, without a full stop. */

export function causes(error: unknown): Error[] {
  const found: Error[] = []
  const queue: unknown[] = [error]
  while (queue.length > 0 && found.length < 8) {
    const one = queue.shift()
    if (!(one instanceof Error) || found.includes(one)) continue
    found.push(one)
    queue.push(one.cause)
    // Node tries every address of a name; the first failure says as much as all.
    if (one instanceof AggregateError) queue.push(one.errors[0])
  }
  return found
}

export function saidBy(error: unknown): string {
  const all = error instanceof Error ? causes(error).map((one) => one.message) : [String(error)]
  const said = all
    .map((message) => message.replace(/\s+/g, ' ').replace(/[\s.]+$/, ''))
    .filter((message) => message !== '')
  return [...new Set(said)].join(': ') || 'no reason given'
}

/** Node's code for a server that is not to be reached: nothing listens, no such name, no such socket, or none that we may use. */
export const isUnreachable = (code: string): boolean =>
  /^(ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EPIPE|ENOENT|EACCES)/.test(code)

/** Where it came from and what was behind it, for whoever looks for the fault: stacks only, none of what a driver hangs on its errors. */
export function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return causes(error)
    .map((one) => one.stack ?? `${one.name}: ${one.message}`)
    .join('\ncaused by ')
}
