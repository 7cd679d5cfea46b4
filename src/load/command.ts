/**
 * The body of `millrace load`: everything together, on the local stack or on servers that the settings name.
 *
 *   servers, fleet, a few events through -> each run: warmed up, sent on schedule, arrived, judged -> the fleet leaves -> the proof -> the report
 *
 * Ctrl-C ends the schedule; what was sent is awaited, proved and reported all the same.
 */
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { painter } from '../live/style.ts'
import { type Output, styleOf } from '../live/view.ts'
import { openFleet } from '../start/fleet.ts'
import { orStopped, type StartIo } from '../start/start.ts'
import { type LoadFlags, type LoadOptions, readLoadFlags } from './flags.ts'
import { renderPage } from './page.ts'
import { renderResult } from './print.ts'
import { briefResult, type LoadResult, type SuiteResult } from './result.ts'
import { runSuite } from './run.ts'
import type { Sampler } from './samples.ts'
import { suiteOf } from './suites.ts'

export interface LoadIo extends StartIo {
  readonly version: string
  readonly cpu: string
  readonly nodeVersion: string
}

/** Answers the exit code: 0 when every goal is kept and the proof holds. */
export async function loadCommand(flags: LoadFlags, io: LoadIo): Promise<number> {
  const options = readLoadFlags(flags, io.now(), io.cores)
  const output = options.json ? io.stderr : io.stdout
  const stackName = io.stackName ?? 'load'
  return orStopped(stackName, output, io, () => run(options, io, output, stackName))
}

async function run(options: LoadOptions, io: LoadIo, output: Output, stackName: string): Promise<number> {
  const { now, signal } = io
  const { replicas, partitions, seed, fresh } = options
  const report = openReport(options, io)
  await using fleet = await openFleet(
    { stackName, forMs: null, rate: 5000, replicas, partitions, seed, fresh },
    // The broker's second compiler takes a minute to settle, and a quarter less CPU from then on.
    { ...io, stack: { lasting: true, ...io.stack } },
    output,
  )
  let sampler: Sampler | null = null
  fleet.show(() => sampler?.look())
  const suites: SuiteResult[] = []
  for (const [index, name] of options.suites.entries()) {
    if (signal.aborted) break
    const suite = suiteOf(name, options)
    suites.push(
      await runSuite({
        fleet,
        // Warm is warm: of several, the first pays for all.
        suite: index === 0 ? suite : { ...suite, warmMs: Math.min(suite.warmMs, 2000) },
        options,
        seed: seed + 2 * (index + 1),
        now,
        signal,
        onSampler: (one) => {
          sampler = one
        },
      }),
    )
  }
  const troubles = await fleet.leave(`logs ${relative(io.directory, fleet.logs)}`)
  if (suites.length < options.suites.length) {
    troubles.push(`interrupted: ${options.suites.slice(suites.length).join(', ')} did not run`)
  }
  const proof = await fleet.prove()
  const result: LoadResult = {
    passed: proof.holds && troubles.length === 0 && suites.every(({ kept }) => kept),
    at: new Date(now()).toISOString(),
    version: io.version,
    machine: {
      cores: io.cores,
      cpu: io.cpu,
      memoryGiB: Math.round(totalmem() / 1024 ** 3),
      node: io.nodeVersion,
    },
    replicas,
    partitions: fleet.partitions,
    processes: options.processes,
    seed,
    servers: fleet.servers.addresses,
    publishes: fleet.publishes,
    suites,
    proof,
    troubles,
  }
  writeFileSync(report.page, renderPage(result, options.p99Ms))
  writeFileSync(report.figures, `${JSON.stringify(result)}\n`)
  output.write(renderResult(result, painter(styleOf(io.env, output.isTerminal))))
  output.write(`\nThe report: ${relative(io.directory, report.page)}, its figures beside it as .json\n`)
  if (options.json) io.stdout.write(`${JSON.stringify({ ...briefResult(result), report: report.page })}\n`)
  return result.passed ? 0 : 1
}

/** Before anything is started: a place that cannot be written to is better known then. */
function openReport(options: LoadOptions, io: LoadIo): { page: string; figures: string } {
  const stamp = new Date(io.now()).toISOString().slice(0, 19).replaceAll(':', '')
  const page =
    options.report === null ? join(io.root, '.local', 'load', `${stamp}.html`) : resolve(io.directory, options.report)
  const figures = `${page.replace(/\.html?$/, '')}.json`
  try {
    mkdirSync(dirname(page), { recursive: true })
    accessSync(dirname(page), constants.W_OK)
  } catch (error) {
    throw new FatalError(
      'USAGE',
      `The report cannot be written to ${page} (${(error as NodeJS.ErrnoException).code}).`,
      'Give another --report.',
      error,
    )
  }
  return { page, figures }
}
