/**
 * Finds the settings file and reads what core must not: MILLRACE_SETTINGS names it, else millrace.json of the working directory is taken when
 * it exists.
 */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { type Needed, type Parsed, parseSettings } from '../core/settings.ts'

export interface LoadOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly directory: string
  readonly cores?: number
  readonly needs?: readonly Needed[]
}

export function loadSettings({ env, directory, ...rest }: LoadOptions): Parsed & { readonly file: string | null } {
  const file = readSettingsFile(env.MILLRACE_SETTINGS, directory)
  const readFile = (path: string) => readFileSync(resolve(directory, path), 'utf8')
  return { ...parseSettings({ env, file, readFile, ...rest }), file: file?.path ?? null }
}

function readSettingsFile(named: string | undefined, directory: string): { path: string; text: string } | null {
  const isNamed = named !== undefined && named !== ''
  const path = resolve(directory, isNamed ? named : 'millrace.json')
  try {
    return { path, text: readFileSync(path, 'utf8') }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && !isNamed) return null
    throw new FatalError(
      'SETTINGS_INVALID',
      `The settings file ${path} cannot be read (${code}).`,
      isNamed ? 'Correct MILLRACE_SETTINGS or unset it.' : 'Make it readable or remove it.',
      error,
    )
  }
}
