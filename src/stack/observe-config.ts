/**
 * The files of dashboards/ as the local Prometheus and Alertmanager read them: the same rules and routes, other addresses, and for tests every duration
 * divided, in this one place. JSON is YAML.
 */

export interface Pace {
  readonly scrapeMs: number
  /** How many times shorter than written every `for`, window and pause is. */
  readonly divisor: number
}

export const paces = {
  usual: { scrapeMs: 5000, divisor: 1 },
  /** An alert that is to come within half an hour comes within 90 s, and one of a minute within three. */
  quick: { scrapeMs: 1000, divisor: 20 },
} as const satisfies Record<string, Pace>

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
/** A rate wants a few samples, one of which may be late. */
const samplesMin = 5

/** Rules or routes, so many times as quick. */
export function quicken(text: string, { scrapeMs, divisor }: Pace): string {
  if (divisor === 1) return text
  const shorter = (value: string, unit: string, leastMs: number) => {
    const ms = Number(value) * units[unit as keyof typeof units]
    return ms === 0 ? '0s' : `${Math.max(leastMs, Math.round(ms / divisor))}ms`
  }
  return text
    .replaceAll(/\[(\d+)(ms|s|m|h|d)\]/g, (_, value, unit) => `[${shorter(value, unit, samplesMin * scrapeMs)}]`)
    .replaceAll(/(\boffset |\bfor: |\bgroup_wait: |_interval: )(\d+)(ms|s|m|h|d)\b/g, (_, before, value, unit) => {
      return `${before}${shorter(value, unit, 1)}`
    })
}

export interface LocalTargets {
  /** host:port of each job besides the fleet's. */
  readonly jobs: Readonly<Record<string, string>>
  readonly alertmanager: string
  readonly ruleFiles: readonly string[]
  /** Rewritten whenever a replica serves at a new address. */
  readonly replicasFile: string
}

export function prometheusConfig({ jobs, alertmanager, ruleFiles, replicasFile }: LocalTargets, pace: Pace): string {
  const every = `${pace.scrapeMs}ms`
  const config = {
    global: { scrape_interval: every, scrape_timeout: every, evaluation_interval: every },
    rule_files: ruleFiles,
    alerting: { alertmanagers: [{ static_configs: [{ targets: [alertmanager] }] }] },
    scrape_configs: [
      { job_name: 'millrace', file_sd_configs: [{ files: [replicasFile], refresh_interval: '5s' }] },
      ...Object.entries(jobs).map(([job, target]) => ({
        job_name: job,
        static_configs: [{ targets: [target], labels: { instance: job } }],
      })),
    ],
  }
  return `${JSON.stringify(config, null, 2)}\n`
}

/** What file_sd reads. The instance is a name, so that a restart at another port is the same replica. */
export function replicaTargets(consumer: string, replicas: ReadonlyMap<string, string>): string {
  const targets = [...replicas].map(([instance, adminUrl]) => ({
    targets: [new URL(adminUrl).host],
    labels: { consumer, instance },
  }))
  return `${JSON.stringify(targets, null, 2)}\n`
}

export const receiverPattern = /url_file: \/etc\/alertmanager\/receivers\/(\w+)/g

/** The routes as they are, with their receivers' addresses in this folder. */
export function alertmanagerConfig(text: string, receivers: string, pace: Pace): string {
  const placed = text.replaceAll(receiverPattern, (_, name) => `url_file: ${JSON.stringify(`${receivers}/${name}`)}`)
  return quicken(placed, pace)
}
