/** What is different between two JSON values, member by member. Pure. */
import type { Json } from '../core/json.ts'

export interface Change {
  /** A JSON Pointer (RFC 6901); the empty one is the whole. */
  readonly path: string
  readonly kind: 'added' | 'removed' | 'changed'
  /** Absent of what was added, and of what was removed. */
  readonly before?: Json
  readonly after?: Json
}

/** Items of a list are compared by their place. In the order of the members before, then of those that are new. */
export function diff(before: Json, after: Json): Change[] {
  const changes: Change[] = []
  compare('', before, after, changes)
  return changes
}

const isObject = (value: Json): value is { readonly [name: string]: Json } =>
  value !== null && typeof value === 'object' && !Array.isArray(value)

const pointer = (path: string, name: string | number) =>
  `${path}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`

function compare(path: string, before: Json, after: Json, changes: Change[]): void {
  if (before === after) return
  if (Array.isArray(before) && Array.isArray(after)) {
    for (let at = 0; at < Math.max(before.length, after.length); at++) {
      const place = pointer(path, at)
      if (at >= after.length) changes.push({ path: place, kind: 'removed', before: before[at] })
      else if (at >= before.length) changes.push({ path: place, kind: 'added', after: after[at] })
      else compare(place, before[at] as Json, after[at] as Json, changes)
    }
  } else if (isObject(before) && isObject(after)) {
    for (const [name, value] of Object.entries(before)) {
      const place = pointer(path, name)
      if (Object.hasOwn(after, name)) compare(place, value, after[name] as Json, changes)
      else changes.push({ path: place, kind: 'removed', before: value })
    }
    for (const [name, value] of Object.entries(after)) {
      if (!Object.hasOwn(before, name)) changes.push({ path: pointer(path, name), kind: 'added', after: value })
    }
  } else changes.push({ path, kind: 'changed', before, after })
}
