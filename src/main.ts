/**
 * The command line. The only file that touches argv, the environment and signals; it wires technologies to rooms by calling them with arguments.
 *
 * Exit codes: 0 done, 1 failed (one line says why and what to do), 2 the command line or the settings are wrong.
 */
import { randomUUID } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import { availableParallelism, constants, cpus, hostname, setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Argument, Command, CommanderError } from 'commander'
import { explain, FatalError } from './core/errors.ts'
import { type Flag, wholeFlag } from './core/flag.ts'
import type { Needed } from './core/settings.ts'
import type { PartitionsFlags } from './keeper/flags.ts'
import type { LoadFlags } from './load/flags.ts'
import type { OffsetsFlags } from './offsets/command.ts'
import type { OffsetsAction } from './offsets/flags.ts'
import { stackOf } from './process/cause.ts'
import { loadSettings } from './process/load-settings.ts'
import type { RejectsFlags } from './rejects/command.ts'
import type { RejectsAction } from './rejects/flags.ts'
import type { ReplayFlags } from './replay/flags.ts'
import type { ReplayClock } from './replay/port.ts'
import type { SimulateFlags } from './simulate/flags.ts'
import type { SimulateIo } from './simulate/io.ts'
import type { PostgresFlags } from './simulate/postgres-flags.ts'
import type { RedisFlags } from './simulate/redis-flags.ts'
import type { StackAction, StackFlags } from './stack/flags.ts'
import type { StartFlags } from './start/flags.ts'
import type { StateFlags } from './state/flags.ts'
import type { TopFlags } from './top/flags.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
const write = (text: string) => void process.stdout.write(text)
const writeError = (text: string) => void process.stderr.write(text)
/** `| head` has seen enough: nothing is wrong. Not for what runs until it is stopped. */
const mayBeLeft = () =>
  process.stdout.once('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
const lasting = ['consume', 'serve', 'start', 'load', 'simulate', 'replay', 'bench', 'stack']

/**
 * `first`: the first SIGINT, SIGTERM or SIGHUP, or the death of the parent that holds our channel: an orderly end. `second`: whatever was started is
 * ended while its listeners run, then the process exits.
 */
function stopSignal(): { readonly first: AbortSignal; readonly second: AbortSignal } {
  const first = new AbortController()
  const second = new AbortController()
  const stop = (reason: string) => {
    if (!first.signal.aborted) return first.abort(new Error(reason))
    second.abort(new Error(reason))
    process.exit(1)
  }
  process.on('SIGINT', () => stop('SIGINT'))
  process.on('SIGTERM', () => stop('SIGTERM'))
  process.on('SIGHUP', () => stop('SIGHUP'))
  if (process.channel !== undefined) {
    process.on('disconnect', () => first.abort(new Error('the parent process ended')))
    process.channel?.unref()
  }
  return { first: first.signal, second: second.signal }
}

function takes(command: Command, flags: readonly Flag[]): void {
  for (const { flag, help, standard, many } of flags) {
    if (many) command.option(flag, help, (given: string, before: string[] = []) => [...before, given])
    else command.option(flag, help, standard)
  }
}

const output = (stream: NodeJS.WriteStream) => ({
  write: (text: string) => void stream.write(text),
  isTerminal: stream.isTTY === true,
  get columns() {
    return stream.columns ?? 80
  },
  get rows() {
    return stream.rows ?? 24
  },
})

function settingsFor(needs: readonly Needed[]) {
  return loadSettings({ env: process.env, directory: process.cwd(), cores: availableParallelism(), needs })
}

const program = new Command('millrace')
  .description('Carries CloudEvents from Kafka into PostgreSQL and Redis Streams, exactly once.')
  .version(version)
  .showHelpAfterError('(millrace --help lists the commands)')
  .configureOutput({
    writeOut(text) {
      mayBeLeft()
      write(text)
    },
  })
  .exitOverride()

program
  .command('consume <consumer>')
  .description('run one process of the fleet until SIGTERM')
  .action(async (name: string) => {
    const { settings } = settingsFor(['kafkaBrokers', 'postgresUrl', 'redisUrls'])
    const { loadConsumer } = await import('./process/load-consumer.ts')
    const { createLogger } = await import('./process/log.ts')
    const { createMetrics } = await import('./core/registry.ts')
    const { runConsumer } = await import('./process/lifecycle.ts')
    const consumer = await loadConsumer(name)
    const metrics = createMetrics()
    process.on('message', (message: { type?: string; count?: number }) => {
      if (message.type === 'restarts') metrics.counter('restarts_total').value = message.count ?? 0
    })
    const replica = settings.replica || `${hostname()}-${process.pid}`
    await runConsumer({
      settings,
      consumer,
      replica,
      version,
      logger: createLogger({ settings, consumer: name, replica, terminal: process.stderr.isTTY }),
      metrics,
      clock: {
        nowMs: Date.now,
        steadyMs: () => performance.now(),
        random: Math.random,
        sleep: (ms, signal) => sleep(ms, undefined, { signal }),
      },
      drain: stopSignal().first,
      onServing: (adminUrl) => process.send?.({ type: 'ready', adminUrl, pid: process.pid }),
    })
  })

program
  .command('migrate')
  .description('bring the database to the schema of this version')
  .action(async () => {
    const { settings } = settingsFor(['postgresUrl'])
    const { connectPostgres } = await import('./process/connect-postgres.ts')
    const { migrate } = await import('./schema/migrate.ts')
    const session = await connectPostgres(settings, 'millrace migrate')
    try {
      const applied = await migrate({ session, signal: stopSignal().first })
      write(applied.length === 0 ? 'The schema is up to date.\n' : `Applied ${applied.join(', ')}.\n`)
    } finally {
      await session.end()
    }
  })

program
  .command('settings')
  .description('print the effective settings and where each comes from, secrets hidden')
  .option('--json', 'as JSON')
  .action(async ({ json = false }: { json?: boolean }) => {
    const { settingsCommand } = await import('./process/settings-command.ts')
    settingsCommand({ ...settingsFor([]), json, write })
  })

program
  .command('doctor')
  .description('check settings, servers, privileges and the topic; say what to do about each finding')
  .option('--consumer <name>', 'whose topic and table to look at', 'cloud-events')
  .option('--json', 'as JSON')
  .action(async ({ consumer: name, json = false }: { consumer: string; json?: boolean }) => {
    const { settings } = settingsFor(['kafkaBrokers', 'postgresUrl', 'redisUrls'])
    const { loadConsumer } = await import('./process/load-consumer.ts')
    const { doctor } = await import('./doctor/doctor.ts')
    const { definition } = await loadConsumer(name)
    const { topic, table, families = [] } = definition
    const { ok } = await doctor({
      settings,
      consumer: name,
      topic,
      table,
      families,
      json,
      write,
      now: Date.now,
      signal: stopSignal().first,
    })
    process.exitCode = ok ? 0 : 1
  })

const { partitionsCommands } = await import('./keeper/flags.ts')
const partitions = program.command('partitions').description('the days of a table: list, make, drop, seal')
for (const { action, usage, description, flags } of partitionsCommands) {
  const command = partitions.command(usage).description(description)
  for (const [flag, help, standard] of flags) command.option(flag, help, standard)
  command.action(async (...given: unknown[]) => {
    const days = Array.isArray(given[0]) ? (given[0] as string[]) : []
    const chosen = command.opts<PartitionsFlags>()
    const { settings } = settingsFor(['postgresUrl'])
    const { loadConsumer } = await import('./process/load-consumer.ts')
    const { partitionsCommand } = await import('./keeper/command.ts')
    const { operator } = await import('./schema/audit.ts')
    const table = chosen.table ?? (await loadConsumer(chosen.consumer)).definition.table
    const signal = stopSignal().first
    await partitionsCommand(action, days, chosen, {
      settings,
      table,
      actor: operator(),
      signal,
      now: Date.now,
      write,
      writeError,
    })
  })
}

const { simulateFlags } = await import('./simulate/flags.ts')
const { redisFlags } = await import('./simulate/redis-flags.ts')
const { postgresFlags } = await import('./simulate/postgres-flags.ts')
const simulate = program.command('simulate').description('make load of the kind the fleet is for')

function simulator<Flags extends { readonly json?: boolean }>(
  name: string,
  description: string,
  flags: readonly (readonly [flag: string, help: string, standard?: string])[],
  needs: Needed,
  body: () => Promise<(flags: Flags, io: SimulateIo) => Promise<number>>,
): void {
  const command = simulate.command(name).description(description)
  for (const [flag, help, standard] of flags) command.option(flag, help, standard)
  command.action(async (given: Flags) => {
    const { settings } = settingsFor([needs])
    const run = await body()
    process.exitCode = await run(given, {
      settings,
      signal: stopSignal().first,
      now: Date.now,
      write: given.json ? writeError : write,
      writeResult: write,
      terminal: (given.json ? process.stderr : process.stdout).isTTY,
    })
  })
}

const bss = "a business-support system's CloudEvents"
simulator<SimulateFlags>(
  'kafka',
  `send ${bss}, in open loop`,
  simulateFlags,
  'kafkaBrokers',
  async () => (await import('./simulate/command.ts')).simulateKafka,
)
simulator<RedisFlags>(
  'redis',
  `add ${bss} to streams and read them by consumer groups, in streams of its own`,
  redisFlags,
  'redisUrls',
  async () => (await import('./simulate/redis-command.ts')).simulateRedisCommand,
)
simulator<PostgresFlags>(
  'postgres',
  `COPY ${bss} into daily partitions and query them, in a schema of its own`,
  postgresFlags,
  'postgresUrl',
  async () => (await import('./simulate/postgres-command.ts')).simulatePostgresCommand,
)

program
  .command('verify')
  .description('prove from Kafka, PostgreSQL and Redis that nothing is lost, doubled or out of order')
  .option('--consumer <name>', 'whose topic, table and streams', 'cloud-events')
  .option('--to-end', 'demand that everything Kafka holds now is stored and published')
  .option('--examples <n>', 'how many problems of each kind to tell in full', '10')
  .option('--json', 'as one JSON line')
  .action(async (flags: { consumer: string; toEnd?: boolean; examples: string; json?: boolean }) => {
    const { settings } = settingsFor(['kafkaBrokers', 'postgresUrl', 'redisUrls'])
    const { loadConsumer } = await import('./process/load-consumer.ts')
    const { verifyCommand } = await import('./verify/command.ts')
    const consumer = await loadConsumer(flags.consumer)
    const { toEnd = false, json = false } = flags
    const options = {
      settings,
      consumer,
      toEnd,
      json,
      examplesMax: wholeFlag('examples', flags.examples, 0),
      signal: stopSignal().first,
      now: Date.now,
    }
    await verifyCommand(options, { write, writeError, terminal: process.stderr.isTTY })
  })

const { rejectsCommands } = await import('./rejects/flags.ts')
const rejects = program
  .command('rejects')
  .description('look at the records that could not be stored, send them again, or judge them')
for (const [action, one] of Object.entries(rejectsCommands)) {
  const { argument, summary, flags: options } = one as { argument?: string; summary: string; flags: readonly Flag[] }
  const command = rejects.command(action).description(summary)
  if (argument !== undefined) command.argument(argument)
  takes(command, options)
  command.action(async (...given: unknown[]) => {
    const id = argument === undefined ? undefined : (given[0] as string)
    const flags = given[argument === undefined ? 0 : 1] as RejectsFlags
    const { settings } = settingsFor(action === 'redrive' ? ['kafkaBrokers', 'postgresUrl'] : ['postgresUrl'])
    const { rejectsCommand } = await import('./rejects/command.ts')
    const { operator } = await import('./schema/audit.ts')
    const { stdout, stderr } = process
    process.exitCode = await rejectsCommand(
      action as RejectsAction,
      id,
      flags,
      { settings, actor: operator(), now: Date.now, signal: stopSignal().first },
      {
        write,
        writeBytes: (bytes) => void stdout.write(bytes),
        writeError,
        columns: stdout.isTTY ? stdout.columns : Number.POSITIVE_INFINITY,
        terminal: stderr.isTTY === true && flags.json !== true,
      },
    )
  })
}

const { offsetsCommands } = await import('./offsets/flags.ts')
const offsets = program
  .command('offsets')
  .description('where the partitions stand, and a decision about where they go on')
for (const [action, one] of Object.entries(offsetsCommands)) {
  const { argument, summary, flags: options } = one as (typeof offsetsCommands)['save']
  const command = offsets.command(argument === undefined ? action : `${action} ${argument}`).description(summary)
  for (const [flag, help, standard] of options) command.option(flag, help, standard)
  command.action(async (...given: unknown[]) => {
    const { consumer: name, ...flags } = command.opts<OffsetsFlags & { consumer: string }>()
    const { settings } = settingsFor(['kafkaBrokers', 'postgresUrl', 'redisUrls'])
    const { loadConsumer } = await import('./process/load-consumer.ts')
    const { offsetsCommand } = await import('./offsets/command.ts')
    const { operator } = await import('./schema/audit.ts')
    const named = argument === undefined ? undefined : (given[0] as string)
    process.exitCode = await offsetsCommand(action as OffsetsAction, named, flags, {
      settings,
      consumer: await loadConsumer(name),
      actor: operator(),
      now: Date.now,
      signal: stopSignal().first,
      write,
      writeError,
    })
  })
}

const { stateCommands, stateNotes } = await import('./state/flags.ts')
const state = program
  .command('state')
  .description('what a customer, an order, a subscription was at a time, and how it came to be')
for (const { action, usage, description, flags: options } of stateCommands) {
  const command = state.command(usage).description(description).addHelpText('after', stateNotes)
  takes(command, options)
  command.action(async (...given: unknown[]) => {
    const subjects = given
      .slice(0, -2)
      .flat()
      .filter((one) => one !== undefined) as string[]
    const flags = command.opts<StateFlags>()
    const { settings } = settingsFor(['postgresUrl'])
    const { loadConsumer } = await import('./process/load-consumer.ts')
    const { stateCommand } = await import('./state/command.ts')
    const { operator } = await import('./schema/audit.ts')
    const context = {
      settings,
      consumer: await loadConsumer(flags.consumer),
      actor: operator(),
      now: Date.now,
      signal: stopSignal().first,
      write,
      writeError,
    }
    if (action === 'debug') {
      const { debugCommand } = await import('./state/debug-command.ts')
      const { stdin, stdout } = process
      process.exitCode = await debugCommand(subjects[0], flags, { ...context, stdin, stdout: output(stdout) })
    } else process.exitCode = await stateCommand(action, subjects, flags, context)
  })
}

async function replayClock(): Promise<ReplayClock> {
  const { coreTimes } = await import('./process/core-times.ts')
  return { steadyMs: () => performance.now(), sleep: (ms, signal) => sleep(ms, undefined, { signal }), coreTimes }
}
const { serveHelp } = await import('./gateway/serve-help.ts')
const { replayFlags, replayHelp } = await import('./replay/flags.ts')
const replay = program
  .command('replay')
  .description('send stored events again: into a file, a stream, a topic, a table, a webhook; at any speed')
  .addHelpText('after', replayHelp)
takes(replay, replayFlags)
replay.action(async (flags: ReplayFlags) => {
  // What an interrupted replay needs besides, its description says.
  const isNew = flags.resume === undefined && flags.discard === undefined && !flags.list
  const { settings } = settingsFor([
    'postgresUrl',
    ...(isNew && (flags.source !== 'postgres' || flags.into.startsWith('kafka:')) ? (['kafkaBrokers'] as const) : []),
    ...(isNew && flags.into.startsWith('redis:') ? (['redisUrls'] as const) : []),
  ])
  const { replayCommand } = await import('./replay/command.ts')
  const { keyboardOf, slowOutput } = await import('./replay/terminal.ts')
  const { loadConsumer } = await import('./process/load-consumer.ts')
  const { operator } = await import('./schema/audit.ts')
  const { stderr, stdin } = process
  const terminal = stderr.isTTY === true && flags.json !== true
  const day = new Date(Date.now()).toISOString().slice(0, 10)
  // On a machine that it shares with the fleet, the fleet goes first. One that keeps to a schedule does little, and wants its turn.
  if (flags.speed === undefined || flags.speed === 'max') setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
  process.exitCode = await replayCommand(
    flags,
    {
      settings,
      loadConsumer,
      actor: operator(),
      now: Date.now,
      clock: await replayClock(),
      stdout: slowOutput(process.stdout),
      directory: process.cwd(),
      newId: `r-${day}-${randomUUID().slice(0, 8)}`,
      signal: stopSignal().first,
    },
    { write, writeError, terminal, columns: () => stderr.columns ?? 80, keyboard: terminal ? keyboardOf(stdin) : null },
  )
})

program
  .command('serve')
  .description('replays, state at a time, offsets and debug sessions over HTTP, until Ctrl-C')
  .addHelpText('after', serveHelp)
  .action(async () => {
    const { settings } = settingsFor(['postgresUrl', 'kafkaBrokers', 'redisUrls'])
    const { serve } = await import('./gateway/serve.ts')
    const { loadConsumer } = await import('./process/load-consumer.ts')
    const { createLogger } = await import('./process/log.ts')
    const { operator } = await import('./schema/audit.ts')
    process.exitCode = await serve({
      settings,
      loadConsumer,
      version,
      actor: operator(),
      now: Date.now,
      clock: await replayClock(),
      newId: (kind) => `${kind}-${new Date(Date.now()).toISOString().slice(0, 10)}-${randomUUID().slice(0, 8)}`,
      directory: process.cwd(),
      signal: stopSignal().first,
      write,
      log: createLogger({ settings, terminal: process.stderr.isTTY }),
    })
  })

/** What the commands that run everything on this machine are told of it. */
function machine() {
  const { first, second } = stopSignal()
  return {
    root,
    env: process.env,
    directory: process.cwd(),
    cores: availableParallelism(),
    execPath: process.execPath,
    mainPath: fileURLToPath(import.meta.url),
    stdout: output(process.stdout),
    stderr: output(process.stderr),
    now: Date.now,
    signal: first,
    kill: second,
  }
}

const { startFlags } = await import('./start/flags.ts')
const start = program
  .command('start')
  .description('the main job on the local stack: servers, fleet, load, a live view, the proof')
for (const [flag, help, standard] of startFlags) start.option(flag, help, standard)
start.action(async (flags: StartFlags) => {
  const { startCommand } = await import('./start/start.ts')
  process.exitCode = await startCommand(flags, machine())
})

const { loadFlags } = await import('./load/flags.ts')
const load = program
  .command('load')
  .description(
    'test under load, with goals, the proof and a report; on a local stack of its own, or where the settings say',
  )
for (const [flag, help, standard] of loadFlags) load.option(flag, help, standard)
load.action(async (flags: LoadFlags) => {
  const { loadCommand } = await import('./load/command.ts')
  const cpu = cpus()[0]?.model ?? 'unknown'
  process.exitCode = await loadCommand(flags, { ...machine(), version, cpu, nodeVersion: process.version })
})

const { topFlags } = await import('./top/flags.ts')
const top = program.command('top').description('a live view of a fleet, from the admin ports of its replicas alone')
for (const [flag, help, standard] of topFlags) top.option(flag, help, standard)
top.action(async (flags: TopFlags) => {
  const { settings } = settingsFor([])
  const { topCommand } = await import('./top/command.ts')
  const { stdout } = process
  process.exitCode = await topCommand(flags, {
    root,
    env: process.env,
    ...settings,
    lookup: (host) => lookup(host, { all: true }),
    stdout: output(stdout),
    now: Date.now,
    signal: stopSignal().first,
  })
})

const { stackActions, stackFlags } = await import('./stack/flags.ts')
const stack = program
  .command('stack')
  .description('the local servers: real Kafka, PostgreSQL and Redis, with their data in .local/')
  .addArgument(new Argument('<action>').choices(stackActions))
for (const [flag, help] of stackFlags) stack.option(flag, help)
stack.action(async (action: StackAction, flags: StackFlags) => {
  const { stackCommand } = await import('./stack/command.ts')
  process.exitCode = await stackCommand(action, flags, {
    root,
    write,
    writeError,
    now: Date.now,
    signal: stopSignal().first,
  })
})

program
  .command('bench')
  .description('measure beside raw COPY, on a local stack of its own (bench --help)')
  .helpOption(false)
  .allowUnknownOption()
  .allowExcessArguments()
  .action(async () => {
    const { benchCommand } = await import('../bench/main.ts')
    process.exitCode = await benchCommand(process.argv.slice(3), stopSignal().first)
  })

/** What a person reads when something ends a command: one line, the cause for whoever needs more. */
async function main(): Promise<void> {
  if (!lasting.includes(process.argv[2] ?? '')) mayBeLeft()
  try {
    await program.parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2
      return
    }
    writeError(`millrace: ${explain(error)}\n`)
    if (!(error instanceof FatalError) || error.code === 'BUG' || process.env.MILLRACE_LOG_LEVEL === 'debug') {
      writeError(`${stackOf(error)}\n`)
    }
    process.exitCode =
      error instanceof FatalError && (error.code === 'USAGE' || error.code === 'SETTINGS_INVALID') ? 2 : 1
  }
  // Whatever a failed command left open must not keep the process: what it started, it has ended.
  setTimeout(() => process.exit(), 1000).unref()
}

/** What nobody has caught is told as everything else is: Node would print all that hangs on it, the arguments of a driver's command among them. */
process.on('uncaughtException', (error) => {
  writeError(`millrace: ${explain(error)}\n${stackOf(error)}\n`)
  process.exit(1)
})

await main()
