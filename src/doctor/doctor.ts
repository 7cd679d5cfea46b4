/**
 * `millrace doctor`: is everything fit for the fleet? Asks all servers at once, changes nothing, answers within seconds also when a server is
 * silent. One line per finding, and what to do about it; ok is that nothing fails.
 */
import type { Settings } from '../core/settings.ts'
import { Chart, type ClockReading, type Finding } from './finding.ts'
import { checkKafka, type KafkaFacts } from './kafka.ts'
import { checkPostgres, type PostgresFacts } from './postgres.ts'
import { checkRedis, type RedisFacts } from './redis.ts'

export interface DoctorOptions {
  readonly settings: Settings
  readonly consumer: string
  readonly topic: string
  readonly table: string
  /** The stream families that the consumer's route may name. */
  readonly families?: readonly string[]
  readonly json: boolean
  readonly write: (text: string) => void
  readonly now: () => number
  readonly signal: AbortSignal
  readonly timeoutMs?: number
}

export interface Diagnosis {
  readonly ok: boolean
  readonly findings: readonly Finding[]
}

/** A stream's entry of a 466-byte event, envelope included, rounded up. */
const entryBytes = 700
/** Beyond this the windows of event times and every latency figure mean something else than they say. */
const skewMsMax = 1000

export async function doctor(options: DoctorOptions): Promise<Diagnosis> {
  const { consumer, topic, table, families = [], now, timeoutMs = 8000 } = options
  const settings = impatient(options.settings)
  const group = settings.group || consumer
  const deadline = AbortSignal.any([options.signal, AbortSignal.timeout(timeoutMs)])
  const charts = { kafka: new Chart('kafka'), postgres: new Chart('postgres'), redis: new Chart('redis') }

  const kafka = within(deadline, charts.kafka, checkKafka(charts.kafka, settings, topic, group, deadline))
  const postgres = within(
    deadline,
    charts.postgres,
    checkPostgres(charts.postgres, settings, { consumer, topic, table }, now, deadline),
  )
  const redis = within(deadline, charts.redis, checkRedis(charts.redis, settings, families, now, deadline))

  const found: Finding[] = [{ area: 'settings', level: 'ok', found: 'every setting is valid' }]
  const say = (findings: readonly Finding[]) => {
    found.push(...findings)
    if (!options.json) for (const finding of findings) options.write(line(finding))
  }
  say(found.splice(0))
  const kafkaFacts = await kafka
  say(charts.kafka.findings)
  const postgresFacts = await postgres
  say(charts.postgres.findings)
  const redisFacts = await redis
  say(charts.redis.findings)
  say(
    compare(kafkaFacts, postgresFacts, redisFacts, {
      families: Math.max(1, families.length),
      streamLengthMax: settings.streamLengthMax,
    }),
  )
  options.signal.throwIfAborted()

  const ok = !found.some(({ level }) => level === 'fail')
  if (options.json) options.write(`${JSON.stringify({ ok, findings: found })}\n`)
  else options.write(summary(found))
  return { ok, findings: found }
}

/** A person waits: what the fleet gives minutes gets seconds here. */
function impatient(settings: Settings): Settings {
  return {
    ...settings,
    connectTimeoutMs: Math.min(settings.connectTimeoutMs, 3000),
    kafkaRequestTimeoutMs: Math.min(settings.kafkaRequestTimeoutMs, 3000),
    redisTimeoutMs: Math.min(settings.redisTimeoutMs, 3000),
  }
}

/** The result, or null with a finding when the deadline comes first: no silent server holds up what the others said. */
async function within<T>(deadline: AbortSignal, chart: Chart, work: Promise<T>): Promise<T | null> {
  const late = Promise.withResolvers<null>()
  const onAbort = () => {
    chart.fail('no answer in time', 'See whether the server is overloaded, or something between drops packets.')
    late.resolve(null)
  }
  deadline.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, late.promise])
  } finally {
    deadline.removeEventListener('abort', onAbort)
    work.catch(() => {})
  }
}

/** What only shows when the answers are laid side by side. */
export function compare(
  kafka: KafkaFacts | null,
  postgres: PostgresFacts | null,
  redis: RedisFacts | null,
  streams: { readonly families: number; readonly streamLengthMax: number },
): Finding[] {
  const findings = [...compareClocks({ PostgreSQL: postgres?.clock ?? null, Redis: redis?.clock ?? null })]
  const offsets = kafka?.offsets ?? null
  if (redis !== null && offsets !== null) findings.push(...compareMemory(redis, offsets.size, streams))
  if (offsets !== null && postgres?.ledger) findings.push(...compareLedger(offsets, postgres.ledger))
  return findings
}

function compareClocks(clocks: Readonly<Record<string, ClockReading | null>>): readonly Finding[] {
  const chart = new Chart('clocks')
  for (const [name, clock] of Object.entries(clocks)) {
    if (clock === null) continue
    const way = clock.aheadMs < 0 ? 'behind' : 'ahead of'
    const apart = `${name}'s clock is ${Math.abs(Math.round(clock.aheadMs))} ms ${way} ours (to within ${Math.ceil(clock.errorMs)} ms)`
    const remedy = 'Set the clocks by NTP: latencies and lag in seconds are measured across machines.'
    chart.check(Math.abs(clock.aheadMs) - clock.errorMs <= skewMsMax, apart, apart, remedy, 'warn')
  }
  return chart.findings
}

function compareMemory(
  { masters, memoryBytes, memoryBound }: RedisFacts,
  partitions: number,
  { families, streamLengthMax }: { readonly families: number; readonly streamLengthMax: number },
): readonly Finding[] {
  const chart = new Chart('redis')
  if (memoryBytes === 0 || streamLengthMax === 0) return chart.findings
  const neededBytes = (partitions * families * streamLengthMax * entryBytes) / masters
  const full = `${partitions} partitions x ${families} families x ${streamLengthMax} entries would take about ${showGib(neededBytes)}${masters > 1 ? ' a master' : ''}; ${memoryBound} is ${showGib(memoryBytes)}`
  const remedy = 'Lower MILLRACE_STREAM_LENGTH_MAX or give Redis more: when it is full, the flow stops.'
  chart.check(neededBytes <= 0.8 * memoryBytes, full, full, remedy, 'warn')
  return chart.findings
}

const showGib = (bytes: number) => `${(bytes / 1024 ** 3).toFixed(1)} GiB`

function compareLedger(
  offsets: NonNullable<KafkaFacts['offsets']>,
  ledger: NonNullable<PostgresFacts['ledger']>,
): readonly Finding[] {
  const chart = new Chart('ledger')
  const anew = 'The topic was made anew or lost its end in a failover: see the README on a recreated topic.'
  const say = (rows: typeof ledger, what: string, remedy: string) => {
    const more = rows.length > 5 ? ', ...' : ''
    const list = rows.slice(0, 5).map((row) => row.partition)
    if (rows.length > 0) chart.fail(`${what} (partitions ${list.join(', ')}${more})`, remedy)
  }
  say(
    ledger.filter((row) => !offsets.has(row.partition)),
    'TOPIC_SHRUNK: the ledger knows partitions that the topic does not have',
    anew,
  )
  say(
    ledger.filter((row) => row.nextOffset < (offsets.get(row.partition)?.low ?? 0)),
    'RETENTION_OVERTOOK: Kafka no longer holds records that were never stored',
    'They are gone from here: raise retention.ms and look for another copy.',
  )
  say(
    ledger.filter((row) => row.nextOffset > (offsets.get(row.partition)?.high ?? Number.POSITIVE_INFINITY)),
    'TOPIC_TRUNCATED: the ledger is ahead of the end of the topic',
    anew,
  )
  if (chart.findings.length > 0) return chart.findings
  const stored = new Map(ledger.map((row) => [row.partition, row.nextOffset]))
  let waiting = 0
  for (const [partition, { low, high }] of offsets) waiting += Math.max(0, high - (stored.get(partition) ?? low))
  chart.ok(`${ledger.length} of ${offsets.size} partitions begun, ${waiting} records wait to be stored`)
  return chart.findings
}

const signs = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' } as const

function line({ area, level, found, remedy }: Finding): string {
  const head = `${signs[level]}  ${area.padEnd(8)}  ${found}\n`
  return remedy === undefined ? head : `${head}${' '.repeat(16)}-> ${remedy}\n`
}

function summary(found: readonly Finding[]): string {
  const count = (level: Finding['level']) => found.filter((finding) => finding.level === level).length
  const [warns, fails] = [count('warn'), count('fail')]
  if (fails > 0) return `\n${fails} to mend before it can run, ${warns} to think about.\n`
  return warns > 0 ? `\nFit to run; ${warns} to think about.\n` : '\nFit to run.\n'
}
