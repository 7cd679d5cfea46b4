/** The body of `millrace simulate postgres`: says where it works, a line a second, a table at the end. */
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import { connectPostgres, postgresFailure } from '../process/connect-postgres.ts'
import { type SimulateIo, tellEnd, tellProgress } from './io.ts'
import { clean, type PostgresStats, simulatePostgres } from './postgres.ts'
import { type PostgresFlags, type PostgresPlan, readPostgresFlags } from './postgres-flags.ts'
import { renderTable } from './table.ts'

/** Answers the exit code: 0, or 1 when something stored is not found. */
export async function simulatePostgresCommand(flags: PostgresFlags, io: SimulateIo): Promise<number> {
  const { json, onlyClean, ...plan } = readPostgresFlags(flags, io.now())
  const { settings } = io
  const connect = (name: string) => connectPostgres(settings, name)
  try {
    if (onlyClean) {
      const client = await connect('millrace simulate')
      const was = await clean(client, plan.schema).finally(() => client.end())
      io.write(was ? `The schema ${plan.schema} is dropped.\n` : `There is no schema ${plan.schema}.\n`)
      return 0
    }
    io.write(`${whereText(plan)}\n`)
    let last = { stored: 0, elapsedMs: 0 }
    const final = await simulatePostgres({
      ...plan,
      connect,
      signal: io.signal,
      now: io.now,
      onStats(stats) {
        const perSecond = ((stats.stored - last.stored) * 1000) / Math.max(1, stats.elapsedMs - last.elapsedMs)
        last = stats
        tellProgress(io, line(stats, perSecond))
      },
    })
    if (json) io.writeResult(`${JSON.stringify({ ...plan, ...final })}\n`)
    else tellEnd(io, tableOf(final, plan))
    return (final.missing ?? 0) > 0 ? 1 : 0
  } catch (error) {
    throw error instanceof FatalError ? error : postgresFailure(error, settings)
  }
}

function whereText({ schema, read, clean }: PostgresPlan): string {
  if (read !== undefined) return `Reads ${read}, and stores nothing.`
  return `Works in the schema ${schema}, ${clean ? 'dropped at the end' : 'left behind: --clean drops it'}.`
}

function line(stats: PostgresStats, perSecond: number): string {
  const parts = [
    `${count(stats.stored)} stored`,
    `${count(perSecond)}/s`,
    `committed p50 ${stats.storedMsP50} ms, p99 ${stats.storedMsP99} ms`,
    ...stats.reads.map(({ kind, msP99 }) => `${kind} p99 ${msP99} ms`),
  ]
  if (stats.waiting > 0) parts.push(`${count(stats.waiting)} waiting`)
  if (stats.readsWaiting > 0) parts.push(`${count(stats.readsWaiting)} queries waiting`)
  return parts.join('  ')
}

function tableOf(stats: PostgresStats, { seed, read }: PostgresPlan): string {
  const seconds = stats.elapsedMs / 1000
  const stored =
    read === undefined
      ? `${count(stats.stored)} rows in ${count(stats.batches)} transactions and ${seconds.toFixed(1)} s, ${count(stats.stored / Math.max(seconds, 0.001))}/s, committed p50 ${stats.storedMsP50} ms, p99 ${stats.storedMsP99} ms; seed ${seed}\n`
      : `read for ${seconds.toFixed(1)} s\n`
  const rows = stats.reads.map(({ kind, queries, rows, msP50, msP99 }) => [
    kind,
    count(queries),
    count(rows),
    `${msP50} ms`,
    `${msP99} ms`,
  ])
  const table = rows.length === 0 ? '' : renderTable(['queries', 'asked', 'rows', 'p50', 'p99'], rows)
  const missing = stats.missing ?? 0
  return `${stored}${table}${missing > 0 ? `${count(missing)} NOT FOUND\n` : ''}`
}
