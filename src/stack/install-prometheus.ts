/**
 * Prometheus, Alertmanager, their tools and the exporters for PostgreSQL, Redis and the machine: Debian trixie's packages, unpacked into .local/cache
 * and started through the C library that they were built for. The web pages of both servers are packages of their own and not among them.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import type { Install } from './install.ts'
import { hasDebianTools, installDebian } from './install-debian.ts'
import { run } from './run.ts'

export const watcherPrograms = [
  'prometheus',
  'promtool',
  'prometheus-alertmanager',
  'amtool',
  'prometheus-node-exporter',
  'prometheus-postgres-exporter',
  'prometheus-redis-exporter',
] as const
export type WatcherProgram = (typeof watcherPrograms)[number]

export type PrometheusParts = {
  version: string
  /** The words that start a program; its arguments follow. */
  command(program: WatcherProgram): string[]
}

const packages = [...watcherPrograms.filter((program) => program !== 'amtool'), 'libc6']

export async function installPrometheus(install: Install): Promise<PrometheusParts> {
  if (!(await hasDebianTools())) {
    throw new FatalError(
      'SETUP_FAILED',
      'Prometheus is set up from Debian packages, and this machine has no apt-get.',
      'Use compose/observe.yaml with Docker, or leave out --observe.',
    )
  }
  const folder = await installDebian(install, {
    name: 'prometheus',
    packages,
    megabytes: 60,
    keep: ['bin', 'lib', 'lib64'],
    check: unpacked,
  })
  const parts = await unpacked(folder)
  install.onProgress({ part: install.part, text: `Prometheus ${parts.version} is ready`, done: true })
  return parts
}

async function unpacked(folder: string): Promise<PrometheusParts> {
  const libraries = readdirSync(join(folder, 'usr/lib'))
    .map((entry) => join(folder, 'usr/lib', entry))
    .find((path) => existsSync(join(path, 'libc.so.6')))
  const loader = libraries && readdirSync(libraries).find((file) => file.startsWith('ld-linux'))
  const again = `Delete ${folder} and run it again.`
  if (!libraries || !loader) throw new FatalError('SETUP_FAILED', `${folder} holds no C library.`, again)
  const command = (program: WatcherProgram) => [
    join(libraries, loader),
    '--library-path',
    libraries,
    join(folder, 'usr/bin', program),
  ]
  const missing = watcherPrograms.find((program) => !existsSync(join(folder, 'usr/bin', program)))
  if (missing) throw new FatalError('SETUP_FAILED', `${folder} holds no ${missing}.`, again)
  const [loading, ...words] = command('prometheus')
  const { out } = await run(loading!, [...words, '--version'])
  const version = out.match(/version (\d[\d.]*)/)?.[1]
  if (!version)
    throw new FatalError('SETUP_FAILED', `The unpacked Prometheus does not run: ${out.trim().slice(0, 300)}.`, again)
  return { version, command }
}
