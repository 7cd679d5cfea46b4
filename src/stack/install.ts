/**
 * Promises a folder under .local/cache that is whole or absent: built beside its place, renamed into it last, by one process at a time.
 * What an interrupted build left is thrown away by the next one.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { withLock } from './lock.mjs'
import type { OnProgress } from './progress.ts'
import { lastLines, type Ran, run, which } from './run.ts'

export type Install = {
  /** .local/cache */
  cache: string
  part: string
  onProgress: OnProgress
  signal?: AbortSignal | undefined
}

export async function installFolder(
  install: Install,
  folderName: string,
  build: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(install.cache, folderName)
  const isWhole = () => existsSync(join(folder, 'complete'))
  if (isWhole()) return folder
  const { part, onProgress, signal } = install
  const onWait = (pid?: number) => onProgress({ part, text: `waits for process ${pid}, which sets it up`, done: false })
  await withLock(
    `${folder}.lock`,
    async () => {
      if (isWhole()) return
      const building = `${folder}.building`
      try {
        rmSync(building, { recursive: true, force: true })
        rmSync(folder, { recursive: true, force: true })
        mkdirSync(building, { recursive: true })
        await build(building)
        writeFileSync(join(building, 'complete'), '')
        renameSync(building, folder)
      } catch (error) {
        // A child that was ended because we are to stop has not failed.
        signal?.throwIfAborted()
        throw (error as NodeJS.ErrnoException).code === 'ENOSPC' ? diskFull(install.cache) : error
      }
    },
    { signal, onWait },
  )
  return folder
}

export function diskFull(path: string): FatalError {
  return new FatalError(
    'DISK_FULL',
    `No room is left on the disk that holds ${path}.`,
    'Free some space (2 GB will do) and run it again.',
  )
}

/** The error for a command of set-up that failed; the whole output is in the file that the sentence names. */
export function setupFailed(install: Install, what: string, ran: Ran, remedy: string): FatalError {
  if (ran.out.includes('No space left on device')) return diskFull(install.cache)
  const log = join(install.cache, `${install.part.toLowerCase()}.log`)
  writeFileSync(log, ran.out)
  const said = ran.missing ? 'it is not installed' : lastLines(ran.out, 1).slice(0, 300)
  return new FatalError('SETUP_FAILED', `${what}: ${said} (all of it in ${log}).`, remedy)
}

export type Linux = { id: string; codename: string; version: string }

/** Debian, Ubuntu, or neither. */
export function readLinux(path = '/etc/os-release'): Linux | undefined {
  try {
    const fields = Object.fromEntries(
      readFileSync(path, 'utf8')
        .split('\n')
        .map((line) => line.match(/^(\w+)="?([^"]*)"?$/))
        .flatMap((match) => (match ? [[match[1]!, match[2]!]] : [])),
    )
    const family = `${fields.ID} ${fields.ID_LIKE ?? ''}`
    const id =
      fields.ID === 'ubuntu' || family.includes('ubuntu') ? 'ubuntu' : family.includes('debian') ? 'debian' : ''
    return id ? { id, codename: fields.VERSION_CODENAME ?? '', version: fields.VERSION_ID ?? '' } : undefined
  } catch {
    return undefined
  }
}

/** Installs system packages where apt-get may be used without asking; says the line to type where it may not. */
export async function aptInstall(install: Install, missing: string, packages: readonly string[]): Promise<void> {
  const line = `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages.join(' ')}`
  if (!readLinux() || !(await which('apt-get'))) {
    throw new FatalError(
      'SETUP_FAILED',
      `${missing} is missing.`,
      "Install it (Java 17 or newer and Maven, from your system's packages), and run it again.",
    )
  }
  const isRoot = process.getuid?.() === 0
  const sudo = isRoot ? [] : ['sudo', '-n']
  if (!isRoot && (await run('sudo', ['-n', 'true'])).code !== 0) {
    throw new FatalError('SETUP_FAILED', `${missing} is missing.`, `Run: ${line}`)
  }
  const { part, onProgress, signal } = install
  const aptGet = async (args: readonly string[]) => {
    onProgress({ part, text: `${missing} is missing: apt-get ${args.join(' ')}`, done: false })
    const [command, ...rest] = [
      ...sudo,
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'LC_ALL=C',
      'apt-get',
      '-q',
      '-o',
      'DPkg::Lock::Timeout=300',
      ...args,
    ]
    return run(command!, rest, {
      signal,
      onLine: (text) => /^(Get:|Unpacking|Setting up)/.test(text) && onProgress({ part, text, done: false }),
    })
  }
  // An update that fails for one of the machine's sources need not keep the packages from being installed.
  await aptGet(['update'])
  const ran = await aptGet(['install', '-y', '--no-install-recommends', ...packages])
  if (ran.code !== 0) throw setupFailed(install, `apt-get could not install ${packages.join(' ')}`, ran, `Run: ${line}`)
}
