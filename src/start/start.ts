/**
 * `npm start`: the whole thing on one machine, for people to watch and for machines to judge.
 *
 *   servers -> schema and topic -> replicas, until all partitions are assigned and a few events went through -> load, watched
 *   -> load ends -> the fleet catches up -> replicas drain and leave -> the proof -> servers stop
 *
 * The end is the same whether time is up or somebody presses Ctrl-C (`signal`); a failure skips what has become pointless. Nothing started here
 * outlives it: not after `kill`, the second Ctrl-C, nor after a kill -9 of this process (replicas drain when their channel closes, the stack ends
 * with its owner).
 */
import { existsSync } from 'node:fs'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../core/errors.ts'
import type { Output } from '../live/view.ts'
import { stackFolder } from '../stack/state.ts'
import { readStartFlags, type StartFlags, type StartOptions } from './flags.ts'
import { type FleetIo, openFleet } from './fleet.ts'
import { renderSummary, summaryOf } from './summary.ts'

export interface StartIo extends FleetIo {
  readonly stdout: Output
  readonly stderr: Output
  readonly stackName?: string
}

const warmupMs = 3000

/** Answers the exit code: 0 when everything holds. */
export async function startCommand(flags: StartFlags, io: StartIo): Promise<number> {
  const options = readStartFlags(flags, io.now())
  const output = options.json ? io.stderr : io.stdout
  const stackName = io.stackName ?? 'default'
  return orStopped(stackName, output, io, () => run(options, io, output, stackName))
}

/** Tells what a failed or interrupted run leaves behind; the failure goes on to whoever prints it. */
export async function orStopped(
  stackName: string,
  output: Output,
  io: FleetIo,
  work: () => Promise<number>,
): Promise<number> {
  const logs = join(stackFolder(io.root, stackName), 'logs')
  try {
    return await work()
  } catch (error) {
    const isOurs = error instanceof FatalError && (error.code === 'USAGE' || error.code === 'SETTINGS_INVALID')
    if (isOurs) throw error
    if (io.signal.aborted && (error === io.signal.reason || (error as Error).name === 'AbortError')) {
      output.write('Stopped before there was anything to verify.\n')
      return 1
    }
    if (existsSync(logs)) output.write(`The logs are in ${relative(io.directory, logs)} and beside it.\n`)
    throw error
  }
}

async function run(options: StartOptions, io: StartIo, output: Output, stackName: string): Promise<number> {
  const { now } = io
  await using fleet = await openFleet({ ...options, stackName }, io, output)
  const { watch, replicas } = fleet

  // Load, watched.
  fleet.show()
  const { rate, forMs, seed, duplicates, poison, binary } = options
  const load = fleet.load({ rate, seed, duplicates, poison, binary, ...(forMs !== null && { forMs }) })
  await fleet.orFailure(load.begun)
  watch.load = load
  watch.phase = 'running'
  const warmup = forMs === null ? warmupMs : Math.min(warmupMs, forMs / 5)
  const warmed = sleep(warmup, undefined, { ref: false }).then(() => watch.recorder.mark())
  const stats = await fleet.orFailure(load.done)
  void warmed

  // The fleet catches up, and leaves.
  watch.phase = 'catching up'
  const loadEndedMs = now()
  await fleet.caughtUp('settle')
  const catchUpMs = now() - loadEndedMs
  const troubles = await fleet.leave(`logs ${relative(io.directory, fleet.logs)}`)

  // The proof.
  const verified = await fleet.prove()
  const facts = {
    options,
    partitions: fleet.partitions,
    publishes: fleet.publishes,
    stats,
    primed: fleet.primed,
    recorder: watch.recorder,
    verified,
    producedBefore: fleet.producedBefore,
    warmupMs: warmup,
    catchUpMs,
    restarts: replicas.reduce((sum, { restarts }) => sum + restarts, 0),
    peaks: watch.peaks,
    troubles,
  }
  const summary = summaryOf(facts)
  output.write(renderSummary(summary, facts))
  if (options.json) io.stdout.write(`${JSON.stringify(summary)}\n`)
  return summary.holds ? 0 : 1
}
