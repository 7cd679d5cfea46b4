/**
 * What a replay is to do: plain JSON, so that it can be stored, gone on with after a restart, and come in over a network. Everything that can be said
 * without asking a server is checked here, once, for every face.
 */
import { FatalError } from '../core/errors.ts'
import type { Speed } from './pace.ts'

export const sources = ['auto', 'kafka', 'postgres'] as const
export type SourceName = (typeof sources)[number]

export interface OffsetRange {
  readonly partition: number
  /** Null: from where the partition begins. */
  readonly from: number | null
  /** Exclusive; null: to where it ends when the replay begins. */
  readonly to: number | null
}

/** Empty lists select everything. A `*` at the end of a type, subject or source stands for anything. */
export interface Selection {
  readonly types: readonly string[]
  readonly tenants: readonly string[]
  readonly subjects: readonly string[]
  readonly sources: readonly string[]
  /** Keys of records, which only Kafka knows. */
  readonly keys: readonly string[]
  /** On `data`: SQL/JSON path language, judged by PostgreSQL wherever the event comes from. */
  readonly jsonpath: string | null
}

export type HttpMode = 'binary' | 'structured' | 'batch'

export type Target =
  | { readonly kind: 'stdout' }
  | { readonly kind: 'file'; readonly path: string; readonly format: 'jsonl' | 'batch' }
  | { readonly kind: 'redis'; readonly stream: string }
  | { readonly kind: 'kafka'; readonly topic: string }
  | { readonly kind: 'table'; readonly table: string }
  | { readonly kind: 'webhook'; readonly url: string; readonly mode: HttpMode }

export interface ReplayDescription {
  /** The value of `replayid` in every event. */
  readonly id: string
  readonly consumer: string
  readonly source: SourceName
  /** Of the events' own time, [from, to). Null: from the first, to the last there is when the replay begins. */
  readonly fromMs: number | null
  readonly toMs: number | null
  /** In place of times, of Kafka alone. */
  readonly offsets: readonly OffsetRange[]
  readonly select: Selection
  readonly target: Target
  readonly speed: Speed
  /** Events a second at most; null: no limit. */
  readonly ratePerSecond: number | null
}

/** What protects the live flow where nobody says otherwise: a fifth of what the fleet stores on two cores. */
export const rateDefault = 20_000

const wrong = (what: string, remedy: string) => new FatalError('USAGE', what, remedy)

/** Throws USAGE for what no server needs to be asked about. */
export function checkDescription(given: ReplayDescription): void {
  const { id, fromMs, toMs, select, source, speed, ratePerSecond } = given
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/.test(id)) {
    throw wrong(
      `A replay cannot be called '${id.slice(0, 80)}'.`,
      'Use up to 63 lower-case letters, digits and dashes.',
    )
  }
  if (!(sources as readonly string[]).includes(source)) {
    throw wrong(`There is no source '${source}'.`, `It is one of ${sources.join(', ')}.`)
  }
  if (fromMs !== null && toMs !== null && fromMs >= toMs) {
    throw wrong(
      `The range is empty: from ${shownTime(fromMs)} to ${shownTime(toMs)}.`,
      '--to is exclusive and comes after --from.',
    )
  }
  for (const ms of [fromMs, toMs]) {
    if (ms !== null && !(ms >= 0 && ms < 253_402_300_800_000))
      throw wrong(`No event has the time ${ms} ms.`, 'Name a time from 1970 to 9999.')
  }
  checkOffsets(given)
  if (select.keys.length > 0 && source !== 'kafka') {
    throw wrong('The keys of records are not stored.', 'Select by key with --source kafka; by --subject everywhere.')
  }
  for (const [name, texts] of Object.entries(select) as [string, readonly string[] | string | null][]) {
    if (Array.isArray(texts) && texts.some((text) => text === '' || text.includes('\0')))
      throw wrong(`One of the ${name} is empty, or no text.`, 'Leave it out, or name one.')
  }
  checkSpeed(speed)
  if (ratePerSecond !== null && !(ratePerSecond > 0 && Number.isFinite(ratePerSecond)))
    throw wrong(`A rate of ${ratePerSecond} events a second never ends.`, 'It takes a number above 0, or max.')
  checkTarget(given.target)
}

export function checkSpeed(speed: Speed): void {
  if (typeof speed === 'number' && !(speed > 0 && speed <= 1e6)) {
    throw wrong(
      `A speed of ${speed} goes nowhere.`,
      'It takes real, a factor above 0 such as 10x or 0.5x, max, or step.',
    )
  }
}

function checkOffsets({ offsets, source, fromMs, toMs }: ReplayDescription): void {
  if (offsets.length === 0) return
  if (source !== 'kafka') throw wrong('Offsets are places in Kafka.', 'Use them with --source kafka.')
  if (fromMs !== null || toMs !== null)
    throw wrong('Both offsets and times are given.', 'Choose one: --offsets, or --from and --to.')
  for (const { partition, from, to } of offsets) {
    if (from !== null && to !== null && from >= to)
      throw wrong(`The offsets ${from} to ${to} of partition ${partition} are none.`, 'The end is exclusive.')
  }
  if (new Set(offsets.map(({ partition }) => partition)).size < offsets.length)
    throw wrong('A partition is named twice in --offsets.', 'Name one range for each.')
}

function checkTarget(target: Target): void {
  if (target.kind === 'redis' && !/^replay:[^\s\0]{1,200}$/.test(target.stream)) {
    throw wrong(
      `A replay does not write to the stream '${target.stream}': it might be a live one.`,
      "Give it one of its own, whose name begins with 'replay:'.",
    )
  }
  if (target.kind === 'table' && !/^[a-z_][a-z0-9_]{0,62}$/.test(target.table)) {
    throw wrong(
      `'${target.table}' is no name for a table.`,
      'Use lower-case letters, digits and _, at most 63 of them.',
    )
  }
  if (target.kind === 'webhook') checkUrl(target.url)
  if (target.kind === 'file' && target.path === '')
    throw wrong('The file has no name.', 'Write --into file:events.jsonl.')
  if (target.kind === 'kafka' && !/^[\w.-]{1,249}$/.test(target.topic))
    throw wrong(`'${target.topic}' is no name for a topic.`, 'Use letters, digits, dots, dashes and underscores.')
}

/** It is shown and kept as it is, so it may hold no secret. */
function checkUrl(url: string): void {
  const parsed = URL.parse(url)
  if (parsed === null || !/^https?:$/.test(parsed.protocol))
    throw wrong(`'${url}' is no URL of http.`, 'Write it as http://host/path.')
  if (parsed.username !== '' || parsed.password !== '')
    throw wrong(
      `The URL of ${parsed.host} holds a user or password.`,
      'Put a proxy that adds them before the receiver.',
    )
}

/** What two replays may not both write to. Every process has a standard output of its own. */
export function targetName({ id, target }: Pick<ReplayDescription, 'id' | 'target'>): string {
  switch (target.kind) {
    case 'stdout':
      return `stdout of ${id}`
    case 'file':
      return `file:${target.path}`
    case 'redis':
      return `redis:${target.stream}`
    case 'kafka':
      return `kafka:${target.topic}`
    case 'table':
      return `table:${target.table}`
    case 'webhook':
      return target.url
  }
}

export const shownTime = (ms: number): string => (Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : `${ms} ms`)
