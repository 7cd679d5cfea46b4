/** A replay as it is asked for over the network, and what it becomes: times as people write them, targets that a server may write to. Pure. */
import { isAbsolute, relative, resolve } from 'node:path'
import { z } from 'zod'
import { FatalError } from '../core/errors.ts'
import { type ReplayDescription, rateDefault, sources, type Target } from '../replay/description.ts'

export const idText = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
  .describe('Up to 63 lower-case letters, digits and dashes; every event bears it in the extension replayid.')

export const timeText = z.iso.datetime({ offset: true }).max(40).describe('A time with its zone: 2026-11-21T09:30:00Z.')

/** What PostgreSQL can hold: no NUL, and no half of a surrogate pair. */
export const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what is left out
    .regex(/^[^\u0000]*$/)
    .refine((given) => given.isWellFormed(), 'Half a surrogate pair')
const texts = z.array(text(1024)).max(100).default([])

export const consumerText = z
  .string()
  .regex(/^[a-z0-9-]{1,100}$/)
  .describe('Whose topic and table: a file of consumers/.')

export const speedValue = z
  .union([z.enum(['max', 'real', 'step']), z.number().positive().max(1e6)])
  .describe('max, real (as far apart as they were), a factor of that such as 10 or 0.5, or step.')

const whole = z.int().min(0).max(Number.MAX_SAFE_INTEGER)

const target = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('redis'), stream: text(210).describe('Begins with replay:') }),
  z.strictObject({ kind: z.literal('kafka'), topic: text(249) }),
  z.strictObject({ kind: z.literal('table'), table: text(63) }),
  z.strictObject({
    kind: z.literal('webhook'),
    url: text(2000).describe('Of http or https.'),
    mode: z.enum(['binary', 'structured', 'batch']).default('structured'),
  }),
  z.strictObject({
    kind: z.literal('file'),
    path: text(500).describe('Below the directory that gatewayDirectory names.'),
    format: z.enum(['jsonl', 'batch']).default('jsonl'),
  }),
])

const selectionShape = {
  consumer: consumerText.default('cloud-events'),
  source: z
    .enum(sources)
    .default('auto')
    .describe(
      'postgres: what is stored; kafka: what Kafka still holds; auto: what is stored, and from Kafka what is not yet.',
    ),
  from: timeText.optional(),
  to: timeText.optional().describe('Exclusive; without it, all there is when the replay begins.'),
  offsets: z
    .array(
      z.strictObject({
        partition: z.int().min(0).max(1e6),
        from: whole.nullable().default(null),
        to: whole.nullable().default(null),
      }),
    )
    .max(10_000)
    .default([])
    .describe('With source kafka, in place of times. The end is exclusive; null: where the partition begins or ends.'),
  types: texts.describe('A * at the end stands for anything; none selects all. The same for the others.'),
  tenants: texts,
  subjects: texts,
  sources: texts,
  keys: texts.describe('Keys of records; with source kafka.'),
  jsonpath: text(2000).optional().describe("On data, judged by PostgreSQL: '$.amount > 100'."),
}

const replayShape = {
  ...selectionShape,
  id: idText.optional(),
  target,
  rate: z
    .union([z.literal('max'), z.number().positive().max(1e9)])
    .default(rateDefault)
    .describe(
      'Events a second at most, for the live flow lives on the same servers, and fewer while the cores of this machine are full; max: no limit.',
    ),
}

export const replayBody = z.strictObject({ ...replayShape, speed: speedValue.default('max') })
export const controlledBody = z.strictObject({
  ...replayShape,
  speed: speedValue.default('real').describe('From the moment on that it is let go.'),
})
export const estimateBody = z.strictObject(selectionShape)

export type ReplayBody = z.output<typeof replayBody>

export const speedOf = (given: z.output<typeof speedValue>): ReplayDescription['speed'] =>
  given === 'real' ? 1 : given

export interface DescribeContext {
  readonly id: string
  /** Empty: no files. */
  readonly directory: string
}

export function describe(body: ReplayBody, { id, directory }: DescribeContext): ReplayDescription {
  return {
    ...selectionOf(body),
    id: body.id ?? id,
    target: targetOf(body.target, directory),
    speed: speedOf(body.speed),
    ratePerSecond: body.rate === 'max' ? null : body.rate,
  }
}

/** What an estimate needs besides is of no account: nothing is written anywhere. */
export const describeEstimate = (body: z.output<typeof estimateBody>): ReplayDescription => ({
  ...selectionOf(body),
  id: 'estimate',
  target: { kind: 'stdout' },
  speed: 'max',
  ratePerSecond: null,
})

function selectionOf(body: z.output<typeof estimateBody>) {
  const { consumer, source, from, to, offsets, types, tenants, subjects, sources: of, keys, jsonpath } = body
  return {
    consumer,
    source,
    fromMs: from === undefined ? null : Date.parse(from),
    toMs: to === undefined ? null : Date.parse(to),
    offsets,
    select: { types, tenants, subjects, sources: of, keys, jsonpath: jsonpath ?? null },
  }
}

function targetOf(given: ReplayBody['target'], directory: string): Target {
  if (given.kind !== 'file') return given
  if (directory === '')
    throw new FatalError('USAGE', 'This server writes no files.', 'Choose another target, or set gatewayDirectory.')
  const path = resolve(directory, given.path)
  const inside = relative(directory, path)
  if (inside === '' || inside.startsWith('..') || isAbsolute(inside) || isAbsolute(given.path))
    throw new FatalError(
      'USAGE',
      `'${given.path}' is not below the directory for files.`,
      'Name a file without leading / or .. in its path.',
    )
  return { ...given, path }
}

/** As it is shown: the path of a file as it was asked for, times as texts. */
export function shown(description: ReplayDescription, directory: string) {
  const { consumer, source, fromMs, toMs, offsets, select, target: to, speed, ratePerSecond } = description
  const time = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString())
  return {
    consumer,
    source,
    from: time(fromMs),
    to: time(toMs),
    offsets,
    ...select,
    target: to.kind === 'file' && directory !== '' ? { ...to, path: relative(directory, to.path) } : to,
    speed: speed === 1 ? ('real' as const) : speed,
    rate: ratePerSecond ?? ('max' as const),
  }
}
