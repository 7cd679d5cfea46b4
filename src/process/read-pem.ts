/** Certificates and keys named by settings. A file that cannot be read is a wrong setting, and is called that before anything connects. */
import { readFileSync } from 'node:fs'
import { FatalError } from '../core/errors.ts'
import type { SettingName, Settings } from '../core/settings.ts'
import { envName } from '../core/settings-table.ts'

type FileSetting = Extract<SettingName, `${string}CaFile` | `${string}CertFile` | `${string}KeyFile`>

/** The file's text, or undefined when the setting is empty. */
export function readPem(settings: Settings, name: FileSetting): string | undefined {
  const path = settings[name]
  return path === '' ? undefined : readPemFile(path, envName(name))
}

export function readPemFile(path: string, where: string): string {
  try {
    const text = readFileSync(path, 'utf8')
    if (text.includes('-----BEGIN ')) return text
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new FatalError(
      'SETTINGS_INVALID',
      `${where}: cannot read ${path} (${code}).`,
      'Correct the path or its permissions.',
      error,
    )
  }
  throw new FatalError(
    'SETTINGS_INVALID',
    `${where}: ${path} is no PEM file.`,
    'It must begin with -----BEGIN; convert it with openssl.',
  )
}

/** `ca`, `cert` and `key` as Node's TLS takes them, without those that are not set. */
export function pems(ca: string | undefined, cert: string | undefined, key: string | undefined) {
  return { ...(ca !== undefined && { ca }), ...(cert !== undefined && { cert }), ...(key !== undefined && { key }) }
}
