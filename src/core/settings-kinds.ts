/**
 * The kinds of value a setting can have. A kind parses what an environment variable (always text) or the settings file (JSON) gives, says in
 * words what is allowed, and knows how to show a value without a secret in it.
 */
import { z } from 'zod'

export interface Kind<T> {
  readonly schema: z.ZodType<T>
  /** Completes the sentence "allowed: ...". */
  readonly allowed: string
  /** The value for people; without it, values are shown as they are. */
  readonly show?: (value: T) => string
}

export type Auto = 'auto'

const kind = <T>(schema: z.ZodType<T>, allowed: string, show?: (value: T) => string): Kind<T> =>
  show === undefined ? { schema, allowed } : { schema, allowed, show }

const decimal = z.union([
  z.number(),
  z
    .string()
    .regex(/^\s*\d{1,15}\s*$/)
    .transform(Number),
])

export const text = kind<string>(z.string(), 'text')
export const path = kind<string>(z.string(), 'the path of a readable file')
export const name = kind<string>(
  z
    .string()
    .max(200)
    .regex(/^[\w.-]*$/),
  'letters, digits, dots, dashes and underscores',
)

export const choice = <const T extends string>(...values: readonly T[]): Kind<T> =>
  kind<T>(z.enum(values) as unknown as z.ZodType<T>, values.join(', '))

export const whole = (min: number, max: number): Kind<number> =>
  kind<number>(decimal.pipe(z.int().min(min).max(max)), `a whole number from ${min} to ${max}`)

export const wholeOrAuto = (min: number, max: number): Kind<number | Auto> =>
  kind<number | Auto>(
    z.union([z.literal('auto'), decimal.pipe(z.int().min(min).max(max))]),
    `a whole number from ${min} to ${max}, or auto`,
  )

/** Of a whole: 0.01 is one in a hundred. */
export const share = kind<number>(
  z
    .union([
      z.number(),
      z
        .string()
        .regex(/^\s*(\d(\.\d{1,9})?|\.\d{1,9})\s*$/)
        .transform(Number),
    ])
    .pipe(z.number().min(0).max(1)),
  'a number from 0 to 1',
)

const byteUnits = { '': 1, KIB: 1024, MIB: 1024 ** 2, GIB: 1024 ** 3 } as const

/** Bytes, also as 64MiB: nobody counts the zeros of 67108864. */
export const bytes = (min: number, max: number): Kind<number> =>
  kind<number>(
    z
      .union([
        z.number(),
        z
          .string()
          .regex(/^\s*\d{1,15}\s*(?:[KMG]iB)?\s*$/i)
          .transform((given) => {
            const [, digits, unit] = /(\d+)\s*([a-z]*)/i.exec(given) as unknown as [string, string, string]
            return Number(digits) * byteUnits[unit.toUpperCase() as keyof typeof byteUnits]
          }),
      ])
      .pipe(z.int().min(min).max(max)),
    `bytes from ${showBytes(min)} to ${showBytes(max)}, also written like 64KiB, 4MiB, 1GiB`,
    showBytes,
  )

export function showBytes(count: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB'] as const) {
    const size = byteUnits[unit.toUpperCase() as keyof typeof byteUnits]
    if (count >= size && count % size === 0) return `${count / size}${unit}`
  }
  return String(count)
}

const list = z.union([
  z.array(z.string()),
  z.string().transform((given) =>
    given
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  ),
])

const addressPattern = /^(?:\[[0-9a-f:]+\]|[\w.-]+):(\d{1,5})$/i

const addressList = (least: number) =>
  kind<readonly string[]>(
    list.pipe(z.array(z.string().refine(isAddress)).min(least)) as unknown as z.ZodType<readonly string[]>,
    'host:port, several separated by commas',
    (value) => value.join(','),
  )

export const brokers = addressList(1)
/** May be none. */
export const addresses = addressList(0)

export const postgresUrl = kind<string>(
  z.string().refine((given) => isUrl(given, ['postgres:', 'postgresql:'])),
  'one URL like postgres://user@host:5432/database (reserved characters of a password percent-encoded)',
  hidePassword,
)

/** `off` is the empty list: no streams at all. */
export const redisUrls = kind<readonly string[]>(
  list
    .transform((urls) => (urls.length === 1 && urls[0] === 'off' ? [] : urls))
    .pipe(z.array(z.string().refine((url) => isRedisUrl(url)))) as unknown as z.ZodType<readonly string[]>,
  'a URL like redis://host:6379, rediss://host:6379 or unix:///run/redis.sock?db=0, several of a cluster separated by commas, or off',
  (value) => (value.length === 0 ? 'off' : value.map(hidePassword).join(',')),
)

/**
 * OpenTelemetry's own variables may be set for other processes, in other forms: they are judged only where they are used (settings-relations.ts).
 */
export const otlpEndpoint = kind<string>(z.string(), 'a URL like http://host:4318', hidePassword)
export const otlpHeaders = kind<string>(z.string(), 'name=value, several separated by commas, values percent-encoded')

function isAddress(given: string): boolean {
  const port = Number(addressPattern.exec(given)?.[1] ?? 0)
  return port >= 1 && port <= 65535
}

export function isUrl(given: string, protocols: readonly string[]): boolean {
  return URL.canParse(given) && protocols.includes(new URL(given).protocol)
}

function isRedisUrl(given: string): boolean {
  if (!isUrl(given, ['redis:', 'rediss:', 'unix:'])) return false
  const { protocol, host, pathname, searchParams } = new URL(given)
  if (protocol !== 'unix:') return /^\/?\d*$/.test(pathname)
  // Two slashes instead of three would make the first folder a host.
  return host === '' && pathname.length > 1 && /^\d+$/.test(searchParams.get('db') ?? '0')
}

/** A URL for logs, errors and screens: whoever reads them shall not be able to log in. */
export function hidePassword(url: string): string {
  if (!URL.canParse(url)) return '(hidden)'
  const parsed = new URL(url)
  if (parsed.password !== '') parsed.password = '***'
  if (parsed.searchParams.has('password')) parsed.searchParams.set('password', '***')
  return parsed.href
}
