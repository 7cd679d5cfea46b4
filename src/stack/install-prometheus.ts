/**
 * Prometheus, Alertmanager, their tools and the exporters for PostgreSQL, Redis and the machine: Debian trixie's packages, unpacked into .local/cache
 * and started through the C library that they were built for. Prometheus has Debian's classic pages; Alertmanager's are in no package of Debian's.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import type { Install } from './install.ts'
import { hasDebianTools, installDebian } from './install-debian.ts'
import { run, which } from './run.ts'

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
  /** The words that start a program where it finds its templates; its arguments follow. */
  command(program: WatcherProgram): string[]
}

/** What Prometheus's classic pages are made of. */
const pages = (
  'libjs-bootstrap4 libjs-d3 libjs-eonasdan-bootstrap-datetimepicker libjs-jquery libjs-jquery-hotkeys libjs-moment ' +
  'libjs-moment-timezone libjs-mustache libjs-popper.js libjs-rickshaw fonts-glyphicons-halflings'
).split(' ')
const packages = [...watcherPrograms.filter((program) => program !== 'amtool'), 'libc6', ...pages]

/**
 * Debian has these two read their templates from a fixed place in the system, which is not ours to write to. The place is a string in the program: it is
 * replaced by one of the same length that leads to wherever the process was started.
 */
const places: Readonly<Partial<Record<WatcherProgram, readonly [theirs: string, ours: string]>>> = {
  prometheus: ['/usr/share/prometheus/web/', '/proc/self/cwd/prom/web///'],
  'prometheus-alertmanager': ['/usr/share/prometheus/alertmanager', '/proc/self/cwd/prom/alertmanager//'],
}

/** As their makers call them, for machines without Debian's packages. */
const namesOnPath: Readonly<Record<WatcherProgram, string>> = {
  prometheus: 'prometheus',
  promtool: 'promtool',
  'prometheus-alertmanager': 'alertmanager',
  amtool: 'amtool',
  'prometheus-node-exporter': 'node_exporter',
  'prometheus-postgres-exporter': 'postgres_exporter',
  'prometheus-redis-exporter': 'redis_exporter',
}

export async function installPrometheus(install: Install): Promise<PrometheusParts> {
  if (!(await hasDebianTools())) return findOnPath()
  const folder = await installDebian(install, {
    name: 'prometheus',
    packages,
    megabytes: 60,
    keep: ['bin', 'lib', 'lib64', 'share'],
    finish: async (building) => {
      relocate(join(building, 'usr'))
      await unpacked(building)
    },
  })
  const parts = await unpacked(folder)
  install.onProgress({ part: install.part, text: `Prometheus ${parts.version} is ready`, done: true })
  return parts
}

async function findOnPath(): Promise<PrometheusParts> {
  const paths = new Map<WatcherProgram, string>()
  for (const program of watcherPrograms) {
    const path = await which(namesOnPath[program])
    if (path !== undefined) paths.set(program, path)
  }
  const missing = watcherPrograms.filter((program) => !paths.has(program)).map((program) => namesOnPath[program])
  if (missing.length > 0) {
    throw new FatalError(
      'SETUP_FAILED',
      `Prometheus and what belongs to it is not on PATH: ${missing.join(', ')}.`,
      'Install them, use compose/observe.yaml with Docker, or leave out --observe.',
    )
  }
  const { out } = await run(paths.get('prometheus')!, ['--version'])
  const version = out.match(/version (\d[\d.]*)/)?.[1] ?? 'unknown'
  return { version, command: (program) => [paths.get(program)!] }
}

function relocate(usr: string): void {
  renameSync(join(usr, 'share/prometheus'), join(usr, 'share/prom'))
  for (const unused of ['doc', 'man', 'lintian']) rmSync(join(usr, 'share', unused), { recursive: true, force: true })
  for (const [program, [theirs, ours]] of Object.entries(places)) {
    const file = join(usr, 'bin', program)
    const bytes = readFileSync(file)
    let found = 0
    for (let at = bytes.indexOf(theirs); at >= 0; at = bytes.indexOf(theirs, at + ours.length)) {
      bytes.write(ours, at, 'latin1')
      found += 1
    }
    if (found === 0 || theirs.length !== ours.length) {
      const what = `${program} does not read its templates from ${theirs} any more.`
      throw new FatalError('SETUP_FAILED', what, 'Report this; leave out --observe meanwhile.')
    }
    writeFileSync(file, bytes)
  }
}

async function unpacked(folder: string): Promise<PrometheusParts> {
  const libraries = readdirSync(join(folder, 'usr/lib'))
    .map((entry) => join(folder, 'usr/lib', entry))
    .find((path) => existsSync(join(path, 'libc.so.6')))
  const loader = libraries && readdirSync(libraries).find((file) => file.startsWith('ld-linux'))
  const again = `Delete ${folder} and run it again.`
  if (!libraries || !loader) throw new FatalError('SETUP_FAILED', `${folder} holds no C library.`, again)
  const command = (program: WatcherProgram) => [
    'env',
    '--chdir',
    join(folder, 'usr/share'),
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
