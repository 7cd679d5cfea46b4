/** Enough of PromQL to say which metrics an expression names, and by which labels it asks for each. promtool says whether the rest is right. */

export interface Named {
  readonly metric: string
  /** Of its matchers. */
  readonly labels: readonly string[]
}

const words = new Set(
  'and or unless on ignoring group_left group_right by without bool offset start end inf nan'.split(' '),
)
const grouping = /\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g

/** Names of metrics, each with the labels between its braces. */
export function namedIn(expr: string): Named[] {
  const text = expr.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""').replaceAll(grouping, ' ')
  const found = text.matchAll(/([a-zA-Z_:][\w:]*)\s*(\(|\{[^}]*\})?/g)
  return [...withoutDurations(text, found)].flatMap(([, name = '', next = '']) => {
    if (next === '(' || words.has(name.toLowerCase())) return []
    const labels = [...next.matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)/g)].map(([, label]) => label as string)
    return [{ metric: name, labels }]
  })
}

/** The labels that the expression as a whole groups by. */
export function groupedBy(expr: string): string[] {
  return [...expr.matchAll(grouping)].flatMap(([, , list = '']) =>
    list
      .split(',')
      .map((label) => label.trim())
      .filter((label) => label !== ''),
  )
}

/** `5m` and `$__rate_interval` are no metrics: what follows a digit, a bracket or a dollar is left out. */
function* withoutDurations(text: string, found: Iterable<RegExpMatchArray>): Generator<RegExpMatchArray> {
  for (const match of found) if (!/[\d.$[]$/.test(text.slice(0, match.index))) yield match
}
