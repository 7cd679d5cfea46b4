/**
 * `npm run fuzz`: any bytes and headers give a verdict, never an exception, in less than 100 ms each; what is accepted is stored by PostgreSQL without
 * an error and comes back as the event it was. What fails is written down with its seed. Exit codes: 0 holds, 1 does not, 2 the command line is wrong.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { formatDuration, parseDuration } from '../../src/core/duration.ts'
import { FatalError } from '../../src/core/errors.ts'
import { wholeFlag } from '../../src/core/flag.ts'
import { runBytes, runOf } from '../../src/core/record.ts'
import { migrate } from '../../src/schema/migrate.ts'
import { createRandom } from '../../src/simulate/random.ts'
import { startStack } from '../../src/stack/stack.ts'
import { complain } from '../complain.ts'
import { batchOf, record } from '../flow/batches.ts'
import { createRecords, damage, type FuzzRecord } from './records.ts'
import { type Problem, prepare, roundTrip } from './round-trip.ts'

const root = join(import.meta.dirname, '../..')
const perBatch = 400
const slowMs = 100
/** From here on it is measured again: was it the record, or the machine? */
const suspectMs = 10
const failuresMax = 10
const help = `npm run fuzz -- [options]
  --for <duration>  how long: 30s, 5m (60s)
  --seed <n>        the same seed tries the same records (default: the time of the start)
  --json            one JSON line at the end, on standard output
  --help            this text

Failures are written to .local/fuzz/, each with the bytes and headers of its record.
`

interface Failure extends Problem {
  readonly record: FuzzRecord | null
}

function readFlags() {
  try {
    const { values } = parseArgs({
      options: {
        for: { type: 'string', default: '60s' },
        seed: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    const seed = wholeFlag('seed', values.seed ?? String(Date.now()), 0)
    return { forMs: parseDuration(values.for, '--for'), seed, json: values.json, help: values.help }
  } catch (error) {
    if (error instanceof FatalError) throw error
    throw new FatalError('USAGE', (error as Error).message, 'See npm run fuzz -- --help.', error)
  }
}

const say = (text: string) => process.stderr.write(text)
const count = (value: number) => Math.round(value).toLocaleString('en')

/** The verdict of one record alone, and its milliseconds. A machine that was busy with something else is asked again. */
function alone(one: FuzzRecord): { code: string | null; ms: number; thrown: unknown } {
  const { value, headers, timestamp = '0', key = null } = one
  let ms = Number.POSITIVE_INFINITY
  let code: string | null = null
  for (let tries = 3; tries > 0 && ms > suspectMs; tries--) {
    const records = [record(0, value, { headers, timestamp, key })]
    const from = performance.now()
    try {
      const { rejects } = batchOf({ partition: 0, records })
      code = Object.keys(rejects.codes)[0] ?? null
    } catch (thrown) {
      return { code: null, ms: 0, thrown }
    }
    ms = Math.min(ms, performance.now() - from)
  }
  return { code, ms, thrown: null }
}

async function fuzz({ forMs, seed }: { forMs: number; seed: number }, client: pg.Client, signal: AbortSignal) {
  const records = createRecords(seed)
  const random = createRandom(seed + 1)
  const failures: Failure[] = []
  const codes: Record<string, number> = {}
  const tally = { records: 0, stored: 0, rejected: 0, damagedRuns: 0, slowestMs: 0 }
  const startedMs = performance.now()
  let saidMs = startedMs
  const isTerminal = process.stderr.isTTY

  while (performance.now() - startedMs < forMs && failures.length < failuresMax && !signal.aborted) {
    const given = records.next(perBatch)
    const expected: Record<string, number> = {}
    let thrown = false
    for (const [at, one] of given.entries()) {
      const judged = alone(one)
      tally.slowestMs = Math.max(tally.slowestMs, judged.ms)
      if (judged.ms > slowMs) failures.push({ at, record: one, what: `took ${Math.round(judged.ms)} ms` })
      if (judged.thrown !== null) {
        failures.push({ at, record: one, what: `threw ${(judged.thrown as Error).stack ?? judged.thrown}` })
        thrown = true
      } else if (judged.code !== null) expected[judged.code] = (expected[judged.code] ?? 0) + 1
    }
    tally.records += given.length
    if (thrown) continue
    const laid = given.map(({ value, headers, timestamp = '0', key = null }, at) =>
      record(at, value, { headers, timestamp, key }),
    )
    const batch = batchOf({ partition: 0, records: laid })
    tally.stored += batch.rows.count
    tally.rejected += batch.rejects.count
    for (const code in batch.rejects.codes) codes[code] = (codes[code] ?? 0) + (batch.rejects.codes[code] as number)
    // A verdict that depends on the record before is a bug: something was left over.
    if (JSON.stringify(sorted(expected)) !== JSON.stringify(sorted(batch.rejects.codes))) {
      failures.push({
        at: -1,
        record: null,
        what: `alone ${JSON.stringify(expected)}, together ${JSON.stringify(batch.rejects.codes)}`,
      })
    }
    for (const problem of await roundTrip(client, batch, given)) {
      failures.push({ ...problem, record: given[problem.at] ?? null })
      if (problem.at < 0) for (const one of await culprits(client, given)) failures.push(one)
    }

    // The log's own bytes may be anything too.
    const run = runOf(laid.slice(0, 20))
    for (let left = 20; left > 0; left--) {
      tally.damagedRuns++
      const bytes = damage(run.bytes, random)
      try {
        const runs = [{ ...run, bytes, codec: random.unit() < 0.9 ? 0 : random.below(8) }]
        const damaged = batchOf({ partition: 0, runs })
        const [slice] = damaged.slices
        if (slice === undefined || slice.rows + slice.rejects + slice.skips > run.count || runBytes(run) < 0) {
          failures.push({ at: -1, record: null, what: `a damaged run counts ${JSON.stringify(slice)}` })
        }
      } catch (error) {
        failures.push({
          at: -1,
          record: null,
          what: `a damaged run threw ${(error as Error).stack}: ${bytes.toString('base64')}`,
        })
      }
    }

    const nowMs = performance.now()
    if (nowMs - saidMs >= (isTerminal ? 500 : 10_000)) {
      saidMs = nowMs
      const line = `${formatDuration(Math.round((nowMs - startedMs) / 1000) * 1000)}  ${count(tally.records)} records  ${count(tally.stored)} stored  ${count(tally.rejected)} rejected  ${failures.length} failures  slowest ${tally.slowestMs.toFixed(1)} ms`
      say(isTerminal ? `\r\x1b[2K${line}` : `${line}\n`)
    }
  }
  if (isTerminal) say('\r\x1b[2K')
  return { ...tally, seconds: (performance.now() - startedMs) / 1000, codes: sorted(codes), failures }
}

/** Whose row it was that made a COPY fail: each on its own. */
async function culprits(client: pg.Client, given: readonly FuzzRecord[]): Promise<Failure[]> {
  const found: Failure[] = []
  for (const [at, one] of given.entries()) {
    const { value, headers, timestamp = '0', key = null } = one
    const batch = batchOf({ partition: 0, records: [record(0, value, { headers, timestamp, key })] })
    const [problem] = await roundTrip(client, batch, [one])
    if (problem !== undefined) found.push({ ...problem, at, record: one })
  }
  return found
}

const sorted = (codes: Readonly<Record<string, number>>) =>
  Object.fromEntries(Object.entries(codes).sort(([a], [b]) => (a < b ? -1 : 1)))

/** For a vector: value in base64, headers as they are in `rejects`. */
function writeDown(seed: number, n: number, { what, record }: Failure): string {
  const folder = join(root, '.local/fuzz')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${seed}-${n}.json`)
  const headers = Object.entries(record?.headers ?? {}).flatMap(([name, one]) =>
    (Array.isArray(one) ? one : [one]).map((text) => [
      name,
      text == null ? null : Buffer.from(text).toString('base64'),
    ]),
  )
  const value = record?.value?.toString('base64') ?? null
  writeFileSync(
    file,
    `${JSON.stringify({ seed, what, from: record?.from, timestamp: record?.timestamp, value, headers }, null, 2)}\n`,
  )
  return file
}

async function main(): Promise<number> {
  const flags = readFlags()
  if (flags.help) {
    process.stdout.write(help)
    return 0
  }
  const interrupt = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(name, () => interrupt.abort(new Error(name)))
  process.once('disconnect', () => interrupt.abort(new Error('the parent process ended')))
  process.channel?.unref()
  const { signal } = interrupt
  say(`seed ${flags.seed}; starting PostgreSQL\n`)
  const stack = await startStack({
    root,
    name: `fuzz-${process.pid}`,
    servers: ['postgres'],
    temporary: true,
    quick: true,
    signal,
  })
  try {
    const client = new pg.Client({ connectionString: stack.postgres })
    client.on('error', () => {})
    await client.connect()
    await migrate({ session: client, signal })
    await prepare(client)
    const result = await fuzz(flags, client, signal)
    await client.end()
    const files = result.failures.map((failure, n) => writeDown(flags.seed, n, failure))
    const holds = files.length === 0
    if (flags.json) {
      const failures = result.failures.map(({ what }, n) => ({ what, file: files[n] }))
      process.stdout.write(`${JSON.stringify({ holds, seed: flags.seed, ...result, failures })}\n`)
    } else process.stdout.write(summary(result, files, flags.seed))
    return holds ? 0 : 1
  } finally {
    await stack.remove()
  }
}

function summary(result: Awaited<ReturnType<typeof fuzz>>, files: readonly string[], seed: number): string {
  const { records, stored, rejected, damagedRuns, slowestMs, seconds, codes, failures } = result
  const rows = [
    ['records', records, 'tried, each alone and among others'],
    ['stored', stored, 'by PostgreSQL, read back and compared'],
    ['rejected', rejected, `under ${Object.keys(codes).length} codes, their bytes compared`],
    ['runs', damagedRuns, 'damaged'],
  ] as const
  const table = rows
    .map(([name, value, text]) => `  ${name.padEnd(10)} ${count(value).padStart(12)}  ${text}\n`)
    .join('')
  const found = failures.map(({ what }, n) => `  ${what.split('\n')[0]}\n    ${files[n]}\n`).join('')
  const verdict = failures.length === 0 ? 'HOLDS' : `DOES NOT HOLD: ${failures.length} failures`
  return `${table}${found}${verdict} (${seconds.toFixed(1)} s, seed ${seed}, slowest ${slowestMs.toFixed(1)} ms)\n`
}

try {
  process.exitCode = await main()
} catch (error) {
  process.exitCode = complain(error)
}
