/**
 * Settings from the environment, the settings file and the defaults, in this order of precedence. All that is wrong is said at once, each with
 * what was given (never a secret's value) and what is allowed; a name nobody knows is an error, because a misspelt setting is a default in disguise.
 */
import { FatalError } from './errors.ts'
import { nearest } from './nearest.ts'
import { relations } from './settings-relations.ts'
import type { Row, SettingName, Settings } from './settings-table.ts'
import { envName, names, otherVariables, rows } from './settings-table.ts'

export type { SettingName, Settings } from './settings-table.ts'

export type Origin = 'env' | 'file' | 'default'
export type Origins = Readonly<Record<SettingName, Origin>>
/** The settings that have no default. A command says which it needs; one it does not need may stay empty. */
export type Needed = 'kafkaBrokers' | 'postgresUrl' | 'redisUrls'

export interface Sources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The settings file's path and text; null when there is none. */
  readonly file?: { readonly path: string; readonly text: string } | null
  /** Reads the file behind a MILLRACE_..._FILE; throws what the file system throws. */
  readonly readFile: (path: string) => string
  readonly cores?: number
  readonly needs?: readonly Needed[]
}

export interface Parsed {
  readonly settings: Settings
  readonly origins: Origins
}

interface Given {
  readonly value: unknown
  readonly origin: Origin
  /** How the place is called where the value was given. */
  readonly where: string
}

export function parseSettings(sources: Sources): Parsed {
  const { env, readFile, cores = 2, needs = ['kafkaBrokers', 'postgresUrl', 'redisUrls'] } = sources
  const faults: string[] = []
  const file = parseFile(sources.file ?? null, faults)
  unknownVariables(env, faults)
  for (const key of Object.keys(file))
    if (!fileKeys.has(key)) faults.push(`${key} in the settings file: no such setting${guess(key, fileKeys)}`)

  const values: Record<string, unknown> = {}
  const origins: Record<string, Origin> = {}
  for (const name of names) {
    const row = rows[name] as Row
    const faultsBefore = faults.length
    const given = find(name, row, env, file, readFile, faults)
    if (faults.length > faultsBefore) continue
    origins[name] = given?.origin ?? 'default'
    if (given === null) {
      if (row.byDefault === null && needs.includes(name as Needed)) {
        faults.push(`${envName(name)} is not set; allowed: ${row.kind.allowed}`)
      } else values[name] = row.byDefault ?? (name === 'postgresUrl' ? '' : [])
      continue
    }
    const parsed = row.kind.schema.safeParse(given.value)
    if (parsed.success) values[name] = parsed.data
    else
      faults.push(
        `${given.where}: ${showGiven(row, given.value)}; allowed: ${row.kind.allowed}${serviceLink(given.value)}`,
      )
  }
  if (values.lanes === 'auto') values.lanes = clamp(cores, 2, 8)
  if (values.workers === 'auto') values.workers = clamp(Math.ceil(cores / 2), 1, 8)

  const settings = values as unknown as Settings
  for (const { of, holds, say } of relations) {
    if (of.every((name) => name in values) && !holds(settings)) {
      faults.push(`${say} (${of.map((name) => `${name} is ${showSetting(name, settings)}`).join(', ')})`)
    }
  }
  if (faults.length > 0) throw invalid(faults)
  for (const value of Object.values(values)) if (Array.isArray(value)) Object.freeze(value)
  return { settings: Object.freeze(settings), origins: Object.freeze(origins) as Origins }
}

/** For each of several replicas on one machine: all their lanes together are about as many as cores. More make smaller batches and longer queues. */
export const lanesOfEach = (replicas: number, cores: number): number => Math.max(1, Math.round(cores / replicas))

/** Of a fleet that shares a machine with its servers: each replica's lanes keep two cores busy, and more replicas only make smaller batches. */
export const replicasFor = (cores: number): number => Math.max(1, Math.floor(cores / 2))

/** A value for people: no secrets, bytes in MiB, lists with commas. */
export function showSetting(name: SettingName, settings: Settings): string {
  const row = rows[name] as Row
  const value = settings[name]
  if (row.secret === 'whole') return value === '' ? '' : '(set, hidden)'
  if (name === 'postgresUrl' && value === '') return ''
  return row.kind.show?.(value) ?? String(value)
}

/** The README's table. */
export function renderSettingsTable(): string {
  const lines = ['| setting | environment | default | what it does |', '|---|---|---|---|']
  for (const name of names) {
    const row = rows[name] as Row
    const shown = row.byDefault === null ? '' : (row.kind.show?.(row.byDefault) ?? String(row.byDefault))
    const byDefault = row.byDefault === null ? 'required' : shown === '' ? '' : `\`${shown}\``
    const variable =
      row.secret === undefined ? `\`${envName(name)}\`` : `\`${envName(name)}\` or \`${envName(name)}_FILE\``
    lines.push(`| \`${name}\` | ${variable} | ${byDefault} | ${row.doc} Allowed: ${row.kind.allowed}. |`)
  }
  return `${lines.join('\n')}\n`
}

const isSecret = (name: SettingName) => (rows[name] as Row).secret !== undefined
const fileKeys = new Set<string>(names.flatMap((name) => (isSecret(name) ? [name, `${name}File`] : [name])))
const variables = new Set<string>([
  ...otherVariables,
  ...names.flatMap((name) => (isSecret(name) ? [envName(name), `${envName(name)}_FILE`] : [envName(name)])),
])

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value))

function parseFile(file: { path: string; text: string } | null, faults: string[]): Record<string, unknown> {
  if (file === null) return {}
  try {
    const parsed: unknown = JSON.parse(file.text)
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
      return parsed as Record<string, unknown>
    faults.push(`${file.path} must hold one JSON object`)
  } catch {
    // The parser's own message quotes the text around the fault, which may be a password.
    faults.push(`${file.path} is not valid JSON`)
  }
  return {}
}

/** An empty variable counts as none: compose files pass `${X:-}` on. */
function find(
  name: SettingName,
  row: Row,
  env: Sources['env'],
  file: Record<string, unknown>,
  readFile: (path: string) => string,
  faults: string[],
): Given | null {
  const places = [
    {
      origin: 'env' as const,
      where: envName(name),
      value: env[envName(name)],
      fileWhere: `${envName(name)}_FILE`,
      path: env[`${envName(name)}_FILE`],
    },
    {
      origin: 'file' as const,
      where: `${name} in the settings file`,
      value: file[name],
      fileWhere: `${name}File in the settings file`,
      path: file[`${name}File`],
    },
  ]
  for (const { origin, where, value, fileWhere, path } of places) {
    const given = value !== undefined && value !== ''
    const behindFile = row.secret !== undefined && path !== undefined && path !== ''
    if (given && behindFile) {
      faults.push(`${where} and ${fileWhere} are both given; keep one`)
      return null
    }
    if (given) return { value, origin, where }
    if (behindFile) {
      try {
        return { value: readFile(String(path)).replace(/\r?\n$/, ''), origin, where: fileWhere }
      } catch (error) {
        faults.push(
          `${fileWhere}: cannot read ${String(path)} (${(error as NodeJS.ErrnoException).code ?? 'unreadable'})`,
        )
        return null
      }
    }
  }
  return null
}

function showGiven(row: Row, value: unknown): string {
  // Also a URL with a secret inside: what does not parse cannot be hidden in part.
  if (row.secret !== undefined) return 'its value (hidden) does not fit'
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return `given "${text.length > 80 ? `${text.slice(0, 80)}...` : text}"`
}

/** Kubernetes gives every pod variables named after the services around it: MILLRACE_PORT=tcp://10.0.0.7:9464 for a service called millrace. */
const serviceVariable = /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$/
const serviceUrl = /^(tcp|udp|sctp):\/\//

function unknownVariables(env: Sources['env'], faults: string[]): void {
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith('MILLRACE_') || variables.has(variable) || value === undefined) continue
    if (serviceVariable.test(variable) || (variable.endsWith('_PORT') && serviceUrl.test(value))) continue
    faults.push(`${variable}: no such setting${guess(variable, variables)}`)
  }
}

function serviceLink(value: unknown): string {
  return typeof value === 'string' && serviceUrl.test(value)
    ? ' (this looks like a service link of Kubernetes: set enableServiceLinks: false on the pod)'
    : ''
}

function guess(given: string, known: Iterable<string>): string {
  const near = nearest(given, known)
  return near === null ? '' : `; did you mean ${near}?`
}

function invalid(faults: readonly string[]): FatalError {
  const remedy = 'Correct it in the environment or in the settings file; the README lists every setting.'
  if (faults.length === 1) return new FatalError('SETTINGS_INVALID', `${faults[0]}.`, remedy)
  return new FatalError(
    'SETTINGS_INVALID',
    `${faults.length} settings are wrong.\n${faults.map((fault) => `  - ${fault}`).join('\n')}\n`,
    remedy,
  )
}
