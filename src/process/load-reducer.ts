/**
 * Finds a reducer by its file name in reducers/, or by how a subject begins. Adding a reducer is adding a file.
 *
 * The hash is of the text of the file and of all that it imports from reducers/: another hash is another reducer, and what was folded by the one before is
 * not taken for its work. A comment changes it too: that costs a fold, and a change that went unnoticed would cost more.
 */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { FatalError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import type { ReducerDefinition } from '../define.ts'

export interface LoadedReducer {
  readonly name: string
  readonly hash: string
  readonly definition: ReducerDefinition
}

const directory = new URL('../../reducers/', import.meta.url)
/** A file that is changed while the process lives is loaded no second time, so its hash must be that of the text it was loaded from. */
const loaded = new Map<string, LoadedReducer>()

export function reducerNames(): string[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -3))
    .sort()
}

export async function loadReducer(name: string): Promise<LoadedReducer> {
  const before = loaded.get(name)
  if (before !== undefined) return before
  const url = new URL(`${name}.ts`, directory)
  if (!/^[a-z0-9-]+$/.test(name) || !existsSync(url)) {
    const guess = nearest(name, reducerNames())
    throw new FatalError(
      'REDUCER_UNKNOWN',
      `There is no reducer '${name}'.`,
      guess === null ? `There are: ${reducerNames().join(', ')}.` : `Did you mean '${guess}'?`,
    )
  }
  let definition: ReducerDefinition | undefined
  try {
    definition = ((await import(url.href)) as { default?: ReducerDefinition }).default
  } catch (error) {
    throw invalid(`reducers/${name}.ts: ${(error as Error).message}.`, 'Correct the file.', error)
  }
  if (typeof definition?.reduce !== 'function' || !Array.isArray(definition.subjects)) {
    throw invalid(
      `reducers/${name}.ts does not export a reducer.`,
      'Write `export default defineReducer({ subjects, reduce })`; reducers/order.ts is an example.',
    )
  }
  const reducer = loaded.get(name) ?? { name, hash: hashOf(url), definition }
  loaded.set(name, reducer)
  return reducer
}

export const loadReducers = (): Promise<LoadedReducer[]> => Promise.all(reducerNames().map(loadReducer))

/** The one whose subjects begin as this one does; of two, the one that says more. */
export function fitting(all: readonly LoadedReducer[], subject: string): LoadedReducer | null {
  let best: LoadedReducer | null = null
  let most = 0
  for (const one of all) {
    for (const begin of one.definition.subjects) {
      if (!subject.startsWith(begin) || begin.length <= most) continue
      best = one
      most = begin.length
    }
  }
  return best
}

export async function reducerFor(subject: string): Promise<LoadedReducer> {
  const all = await loadReducers()
  const best = fitting(all, subject)
  if (best !== null) return best
  const known = all.flatMap(({ name, definition }) => definition.subjects.map((one) => `${one}... is ${name}`))
  throw new FatalError(
    'REDUCER_UNKNOWN',
    `No reducer is about subjects like '${subject}'.`,
    `Name one with --reducer; by the subject: ${known.sort().join(', ')}.`,
  )
}

const invalid = (what: string, remedy: string, cause?: unknown) =>
  new FatalError('REDUCER_INVALID', what, remedy, cause)

function hashOf(url: URL): string {
  const texts = new Map<string, string>()
  const take = (one: URL): void => {
    const path = one.href.slice(directory.href.length)
    if (!one.href.startsWith(directory.href) || texts.has(path)) return
    const text = readFileSync(one, 'utf8').replaceAll('\r\n', '\n')
    texts.set(path, text)
    for (const [, to] of text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g))
      take(new URL(to as string, one))
  }
  take(url)
  const hash = createHash('sha256')
  for (const path of [...texts.keys()].sort()) hash.update(`${path}\0${texts.get(path)}\0`)
  return hash.digest('hex').slice(0, 16)
}
