/**
 * Where a debug session stops: `type:com.bss.order.*`, `subject:ord_1`, or a condition like `after.status = cancelled and data.amount > 100`.
 *
 * A condition is a few comparisons and no program: what a person types, or a request carries, is read and never run. Pure.
 */
import { FatalError } from '../core/errors.ts'
import { canonicalJson, type Json } from '../core/json.ts'
import type { ReducedEvent } from '../define.ts'

const operators = ['=', '!=', '<=', '>=', '<', '>', '~'] as const
type Operator = (typeof operators)[number] | 'exists' | 'missing' | 'changes'

interface Term {
  readonly root: Root
  readonly path: readonly string[]
  readonly operator: Operator
  readonly value: Json
}

const eventRoots = ['type', 'subject', 'source', 'id', 'key', 'time', 'tenant', 'data', 'extensions'] as const
const roots = [...eventRoots, 'before', 'after'] as const
type Root = (typeof roots)[number]

export interface Breakpoint {
  readonly text: string
  /** Whether it asks for the state before or after an event: where that is not known, it has to be folded. */
  readonly needsState: boolean
  /** Before and after are looked at only if it does. */
  readonly hits: (event: ReducedEvent, before: Json, after: Json) => boolean
}

export function readBreakpoint(text: string): Breakpoint {
  const [, kind, pattern = ''] = /^(type|subject):(\S+)$/.exec(text.trim()) ?? []
  if (kind !== undefined) {
    const like = new RegExp(`^${pattern.split('*').map(literal).join('.*')}$`, 's')
    return { text, needsState: false, hits: (event) => like.test(kind === 'type' ? event.type : event.subject) }
  }
  const terms = readTerms(text)
  return {
    text,
    needsState: terms.some(({ root }) => root === 'before' || root === 'after'),
    hits: (event, before, after) => terms.every((term) => holds(term, event, before, after)),
  }
}

const literal = (text: string) => text.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')

const pathPart = /(?:"(?:[^"\\]|\\.)*"|[^\s."=!<>~]+)/y
const word = /"(?:[^"\\]|\\.)*"|\S+/y

function readTerms(text: string): Term[] {
  let at = 0
  const wrong = (what: string) =>
    new FatalError(
      'USAGE',
      `The breakpoint '${text}' is not understood: ${what}.`,
      'Write type:com.bss.order.*, subject:ord_1, or a condition: data.amount > 100 and after.status changes.',
    )
  const blank = () => {
    while (/\s/.test(text[at] ?? '')) at++
  }
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0]
    at += found?.length ?? 0
    return found
  }
  const unquoted = (part: string): string => {
    if (!part.startsWith('"')) return part
    try {
      return JSON.parse(part) as string
    } catch {
      throw wrong(`${part} is no JSON string`)
    }
  }
  const terms: Term[] = []
  for (;;) {
    blank()
    const root = take(pathPart) as Root | undefined
    if (root === undefined || !roots.includes(root)) throw wrong(`a path begins with ${roots.join(', ')}`)
    const path: string[] = []
    while (text[at] === '.') {
      at++
      const part = take(pathPart)
      if (part === undefined) throw wrong('a path ends in a dot')
      path.push(unquoted(part))
    }
    blank()
    const operator = take(/(?:!=|<=|>=|=|<|>|~|\bexists\b|\bmissing\b|\bchanges\b)/y) as Operator | undefined
    if (operator === undefined) throw wrong(`behind a path comes ${operators.join(' ')}, exists, missing or changes`)
    let value: Json = null
    if ((operators as readonly string[]).includes(operator)) {
      blank()
      const given = take(word)
      if (given === undefined) throw wrong(`${operator} needs a value`)
      value = valueIn(given, unquoted)
    }
    if (operator === 'changes' && root !== 'before' && root !== 'after')
      throw wrong('only a state changes: after.status changes')
    terms.push({ root, path, operator, value })
    blank()
    if (at === text.length) return terms
    if (take(/and\b/y) === undefined) throw wrong(`'${text.slice(at)}' is left over`)
  }
}

/** JSON where it is JSON, else a word. */
function valueIn(given: string, unquoted: (part: string) => string): Json {
  if (given.startsWith('"')) return unquoted(given)
  if (/^(true|false|null|-?\d+(\.\d+)?([eE][+-]?\d+)?)$/.test(given)) return JSON.parse(given) as Json
  return given
}

function reach(value: Json | undefined, path: readonly string[]): Json | undefined {
  let at = value
  for (const name of path) {
    if (at === null || typeof at !== 'object' || !Object.hasOwn(at, name)) return undefined
    if (Array.isArray(at) && name === 'length') return undefined
    at = (at as { readonly [name: string]: Json })[name]
  }
  return at
}

function holds({ root, path, operator, value }: Term, event: ReducedEvent, before: Json, after: Json): boolean {
  const text = (one: Json | undefined) => (one === undefined ? undefined : canonicalJson(one))
  if (operator === 'changes') return text(reach(before, path)) !== text(reach(after, path))
  const found = reach(root === 'before' ? before : root === 'after' ? after : (event[root] as Json), path)
  switch (operator) {
    case 'exists':
      return found !== undefined
    case 'missing':
      return found === undefined
    case '=':
      return text(found) === canonicalJson(value)
    case '!=':
      return text(found) !== canonicalJson(value)
    case '~':
      return typeof found === 'string' && found.includes(String(value))
    default: {
      if (typeof found !== typeof value || (typeof found !== 'number' && typeof found !== 'string')) return false
      const [a, b] = [found, value as number | string]
      if (operator === '<') return a < b
      if (operator === '<=') return a <= b
      return operator === '>' ? a > b : a >= b
    }
  }
}
