/** The bodies of `millrace stack up|down|status|env|logs|install`: what a person reads, and the exit code. */
import { existsSync } from 'node:fs'
import { FatalError } from '../core/errors.ts'
import { wholeFlag } from '../core/flag.ts'
import type { StackAction, StackFlags } from './flags.ts'
import { inspectStack, type StackStatus } from './inspect.ts'
import { showLogs } from './logs.ts'
import { installParts } from './parts.ts'
import { progressLines } from './progress.ts'
import { startStack, stopStack } from './stack.ts'
import { type ServerName, serverNames, stackFolder } from './state.ts'

export type StackIo = {
  root: string
  write: (text: string) => void
  /** For progress. */
  writeError: (text: string) => void
  now: () => number
  signal?: AbortSignal
}

export async function stackCommand(action: StackAction, flags: StackFlags, io: StackIo): Promise<number> {
  const name = flags.name ?? 'default'
  const servers = readServers(flags.server)
  const onProgress = progressLines(io.writeError, io.now)
  const signal = io.signal ? { signal: io.signal } : {}
  switch (action) {
    case 'up': {
      const before = await inspectStack(io.root, name)
      const isUp = !flags.fresh && servers.every((server) => before.servers[server].running)
      if (!isUp) {
        const docker = flags.docker === undefined ? {} : { docker: flags.docker }
        await startStack({
          root: io.root,
          name,
          servers,
          detached: true,
          fresh: flags.fresh ?? false,
          ...docker,
          onProgress,
          ...signal,
        })
      }
      const status = isUp ? before : await inspectStack(io.root, name)
      io.write(flags.json ? asJson(status) : `${isUp ? 'Already running.\n' : ''}${asTable(status)}${hints(name)}`)
      return 0
    }
    case 'down': {
      const wasRunning = await stopStack({ root: io.root, name, remove: flags.remove ?? false })
      io.write(
        `The stack ${name} ${wasRunning ? 'is stopped' : 'was not running'}${flags.remove ? '; its data is deleted' : ''}.\n`,
      )
      return 0
    }
    case 'status': {
      const status = await inspectStack(io.root, name)
      io.write(flags.json ? asJson(status) : asTable(status))
      return serverNames.every((server) => status.servers[server].running) ? 0 : 1
    }
    case 'env': {
      const status = await inspectStack(io.root, name)
      const running = serverNames.filter((server) => status.servers[server].running)
      if (running.length === 0) throw notRunning(name)
      for (const server of running)
        io.write(`export MILLRACE_${server.toUpperCase()}='${status.servers[server].address}'\n`)
      return 0
    }
    case 'logs': {
      if (!existsSync(stackFolder(io.root, name))) throw notRunning(name)
      const lines = wholeFlag('lines', flags.lines ?? '20', 0)
      const status = await inspectStack(io.root, name)
      await showLogs({
        status,
        root: io.root,
        servers,
        lines,
        follow: flags.follow ?? false,
        write: io.write,
        ...signal,
      })
      return 0
    }
    case 'install':
      await installParts(io.root, servers, onProgress, io.signal)
      return 0
  }
}

function readServers(given: string[] | undefined): ServerName[] {
  const wrong = given?.find((server) => !(serverNames as readonly string[]).includes(server))
  if (wrong !== undefined)
    throw new FatalError('USAGE', `There is no server "${wrong}".`, `Name some of ${serverNames.join(', ')}.`)
  return given && given.length > 0 ? (given as ServerName[]) : [...serverNames]
}

function notRunning(name: string): FatalError {
  return new FatalError('STACK_FAILED', `The stack ${name} is not running.`, 'Start it with npm run stack -- up.')
}

function asJson(status: StackStatus): string {
  return `${JSON.stringify(status, null, 2)}\n`
}

function asTable(status: StackStatus): string {
  const rows = serverNames.map((server) => {
    const { running, address, pid, dataBytes, log } = status.servers[server]
    const size = dataBytes === undefined ? '' : `${(dataBytes / 1e6).toFixed(0)} MB`
    return [server, running ? 'running' : 'stopped', running ? address : '', pid ? `pid ${pid}` : '', size, log]
  })
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
  const owner = status.owner ? `The stack belongs to process ${status.owner} and ends with it.\n` : ''
  return `${lines.join('\n')}\n${owner}`
}

function hints(name: string): string {
  const flag = name === 'default' ? '' : ` --name ${name}`
  return `\nPoint a shell at it:  eval "$(npm run -s stack -- env${flag})"\nStop it:              npm run stack -- down${flag}\n`
}
