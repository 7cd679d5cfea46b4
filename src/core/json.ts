/**
 * Plain JSON values, and whether a value is one: what JSON.stringify writes and JSON.parse gives back as it was. Whoever keeps a value as text has to
 * know that before, not when it comes back otherwise.
 */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

/** As deep as the decoder lets events be. */
const depthMax = 128

/**
 * Freezes the value, all of it, and answers null; or tells what in it is no plain JSON, as in `.lines[2].price is undefined`. `known` holds what was found
 * plain before: being frozen it is so for good, and a new state that keeps most of the one before costs no more than what is new.
 */
export function freezeJson(value: unknown, known: WeakSet<object>): string | null {
  const fault = faultOf(value, known, 0)
  return fault === null ? null : `${fault.path} is ${fault.what}`.trimStart()
}

interface Fault {
  readonly path: string
  readonly what: string
}

function faultOf(value: unknown, known: WeakSet<object>, depth: number): Fault | null {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return null
  if (typeof value === 'number') return Number.isFinite(value) ? null : { path: '', what: String(value) }
  if (typeof value !== 'object') return { path: '', what: value === undefined ? 'undefined' : `a ${typeof value}` }
  if (known.has(value)) return null
  if (depth > depthMax) return { path: '', what: `nested deeper than ${depthMax} levels, or in itself` }
  if (Array.isArray(value)) {
    for (let at = 0; at < value.length; at++) {
      const fault = faultOf(value[at], known, depth + 1)
      if (fault !== null) return { ...fault, path: `[${at}]${fault.path}` }
    }
  } else {
    const kind = Object.getPrototypeOf(value)
    if (kind !== Object.prototype && kind !== null) {
      const name = (value as { constructor?: { name?: unknown } }).constructor?.name
      return { path: '', what: `a ${typeof name === 'string' && name !== '' ? name : 'class of its own'}` }
    }
    for (const [name, member] of Object.entries(value)) {
      const fault = faultOf(member, known, depth + 1)
      if (fault !== null) return { ...fault, path: `.${name}${fault.path}` }
    }
  }
  known.add(Object.freeze(value))
  return null
}

/** The same text for the same value, whatever the order of its members. */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`
}
