/**
 * Programs of Debian trixie for machines that have older ones or none: packages unpacked into .local/cache, with the C library that they were built
 * for where they need one. Nothing is installed into the system, and apt checks every byte against Debian's signature.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { type Apt, aptComplaint, openApt } from './apt.ts'
import { type Install, installFolder, readLinux, setupFailed } from './install.ts'
import { run, which } from './run.ts'

export type DebianParts = {
  /** Of the folder in the cache. */
  name: string
  packages: readonly string[]
  megabytes: number
  /** What of the packages is kept, below usr/. */
  keep: readonly string[]
  /** Makes what was unpacked fit to run from this folder; throws when it does not run. */
  finish: (folder: string) => Promise<unknown>
}

const suite = 'trixie'
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'
const again = 'Check the network and run it again, or put the program on PATH.'

/** Is this a machine on which it can be done? */
export async function hasDebianTools(): Promise<boolean> {
  return readLinux() !== undefined && !!(await which('apt-get')) && !!(await which('dpkg-deb'))
}

/** The folder that holds usr/. */
export function installDebian(install: Install, parts: DebianParts): Promise<string> {
  const system = readLinux()?.id ?? 'debian'
  return installFolder(install, `${parts.name}-${suite}`, (building) => fetchParts(install, system, building, parts))
}

async function fetchParts(install: Install, system: string, building: string, parts: DebianParts): Promise<void> {
  const { onProgress, part, signal } = install
  const tell = (text: string) => onProgress({ part, text, done: false })
  tell('asks the Debian mirror for its list of packages')
  const keys = existsSync(keyring) ? keyring : await fetchKeyring(install, building)
  const uri = (system === 'debian' ? await machineMirror() : undefined) ?? (await usualMirror(install, building))
  let apt = openApt(join(building, 'apt'), { uri, suite, keyring: keys }, signal)
  let updated = await apt.update()
  if (updated.code !== 0 && keys === keyring) {
    // A keyring older than trixie: the machine's own apt vouches for a newer one.
    apt = openApt(join(building, 'apt'), { uri, suite, keyring: await fetchKeyring(install, building) }, signal)
    updated = await apt.update()
  }
  if (updated.code !== 0) throw setupFailed(install, `apt could not read ${suite}'s list of packages`, updated, again)
  await fetchPackages(install, apt, parts)
  tell('unpacks')
  for (const file of readdirSync(apt.archives).filter((name) => name.endsWith('.deb'))) {
    const ran = await run('dpkg-deb', ['-x', join(apt.archives, file), join(building, 'unpacked')], { signal })
    if (ran.code !== 0) throw setupFailed(install, `dpkg-deb could not unpack ${file}`, ran, again)
  }
  renameSync(join(building, 'unpacked', 'usr'), join(building, 'usr'))
  for (const leftover of ['unpacked', 'apt', 'keyring', 'tools']) {
    rmSync(join(building, leftover), { recursive: true, force: true })
  }
  for (const entry of readdirSync(join(building, 'usr'))) {
    if (!parts.keep.includes(entry)) rmSync(join(building, 'usr', entry), { recursive: true, force: true })
  }
  await parts.finish(building)
}

async function fetchPackages(install: Install, apt: Apt, { packages, megabytes }: DebianParts): Promise<void> {
  const { part, onProgress } = install
  let fetched = 0
  const ran = await apt.download(packages, (line) => {
    if (!line.startsWith('Get:')) return
    fetched += 1
    onProgress({ part, text: `fetches ${fetched} of ${packages.length} packages (${megabytes} MB)`, done: false })
  })
  if (ran.code !== 0) throw setupFailed(install, `apt could not fetch ${part}: ${aptComplaint(ran)}`, ran, again)
}

/** The mirror that this Debian's own apt uses for the main archive. */
async function machineMirror(): Promise<string | undefined> {
  const { out } = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages'])
  return out.split('\n').find((uri) => /^https?:.*\/debian\/?$/.test(uri))
}

/** Debian's tools, unpacked from the machine's own packages, know where Debian's archive usually is. */
async function usualMirror(install: Install, building: string): Promise<string> {
  const folder = await unpackOwn(install, building, 'debootstrap', 'tools')
  const uri = readFileSync(join(folder, 'usr/sbin/debootstrap'), 'utf8').match(/^DEF_MIRROR="(.+)"/m)?.[1]
  if (!uri) throw new FatalError('SETUP_FAILED', 'No Debian mirror is known on this machine.', again)
  return uri
}

async function fetchKeyring(install: Install, building: string): Promise<string> {
  const folder = await unpackOwn(install, building, 'debian-archive-keyring', 'keyring')
  return join(folder, keyring)
}

/** A package of the machine's own distribution, checked by its own apt, unpacked but not installed. */
async function unpackOwn(install: Install, building: string, name: string, into: string): Promise<string> {
  const folder = join(building, into)
  if (existsSync(folder)) return folder
  const apt = openApt(join(building, `${into}-apt`), 'system', install.signal)
  // The update may fail for a source that has nothing to do with this; the download tells.
  await apt.update()
  const ran = await apt.download([name])
  const file = readdirSync(apt.archives).find((entry) => entry.endsWith('.deb'))
  if (ran.code !== 0 || !file)
    throw setupFailed(install, `apt could not fetch ${name}: ${aptComplaint(ran)}`, ran, again)
  await run('dpkg-deb', ['-x', join(apt.archives, file), folder])
  rmSync(join(building, `${into}-apt`), { recursive: true, force: true })
  return folder
}
