/** A mutant is a promise broken on purpose: one piece of a source file replaced as the file is loaded, the file itself untouched. */
import { readFileSync } from 'node:fs'
import { registerHooks, stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export interface Mutant {
  readonly name: string
  /** From src/. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** What no longer holds, in one line. */
  readonly breaks: string
}

const src = join(import.meta.dirname, '../../src')

/** The file's text with the mutation in it, or an error that says why it does not apply any more. */
export function mutated({ name, file, find, replace }: Mutant): string {
  const text = readFileSync(join(src, file), 'utf8')
  const places = text.split(find).length - 1
  if (places !== 1) throw new Error(`mutant ${name}: src/${file} holds its text ${places} times, not once:\n${find}`)
  const changed = text.replace(find, () => replace)
  stripTypeScriptTypes(changed)
  return changed
}

/** To be called before the file is first imported. */
export function infect(mutant: Mutant): void {
  const source = mutated(mutant)
  const target = pathToFileURL(join(src, mutant.file)).href
  registerHooks({
    load(url, context, nextLoad) {
      if (url !== target) return nextLoad(url, context)
      return { format: 'module-typescript', source, shortCircuit: true }
    },
  })
}
