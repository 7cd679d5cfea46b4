/** `millrace settings`: what is in force and where each value comes from. Secrets are hidden. */
import { type Origins, type SettingName, type Settings, showSetting } from '../core/settings.ts'
import { envName, names } from '../core/settings-table.ts'

export interface SettingsCommandOptions {
  readonly settings: Settings
  readonly origins: Origins
  /** The settings file that was read, if any. */
  readonly file: string | null
  readonly json: boolean
  readonly write: (text: string) => void
}

export function settingsCommand({ settings, origins, file, json, write }: SettingsCommandOptions): void {
  if (json) {
    const shown = names.map((name) => [
      name,
      { value: jsonValue(name, settings), origin: origins[name], env: envName(name) },
    ])
    write(`${JSON.stringify({ file, settings: Object.fromEntries(shown) }, null, 2)}\n`)
    return
  }
  const rows = names.map((name) => [name, showSetting(name, settings), origins[name], envName(name)] as const)
  const width = (column: 0 | 1 | 2) => Math.min(48, Math.max(...rows.map((row) => row[column].length)))
  write(`settings file: ${file ?? 'none'}\n\n`)
  for (const [name, value, origin, env] of rows) {
    write(
      `${name.padEnd(width(0))}  ${(value === '' ? '-' : value).padEnd(width(1))}  ${origin.padEnd(width(2))}  ${env}\n`,
    )
  }
}

/** Numbers stay numbers; whatever may hold a secret is the text a person would see. */
function jsonValue(name: SettingName, settings: Settings): unknown {
  const value = settings[name]
  return typeof value === 'number' ? value : showSetting(name, settings)
}
