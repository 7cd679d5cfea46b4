/**
 * Redis 8: the `redis-server` on PATH when it is new enough; on Debian and Ubuntu otherwise Debian trixie's packages, unpacked into .local/cache with
 * the C library that they were built for and started through that library's own loader. Nothing is installed into the system.
 */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { type Apt, aptComplaint, openApt } from './apt.ts'
import { type Install, installFolder, readLinux, setupFailed } from './install.ts'
import { run, which } from './run.ts'

export type RedisParts = { version: string; command: string; args: string[] }

const suite = 'trixie'
const packages = (
  'redis-server redis-tools libc6 libstdc++6 libgcc-s1 libjemalloc2 liblzf1 libatomic1 libssl3t64 libsystemd0 ' +
  'libcap2 libgcrypt20 liblzma5 libzstd1 liblz4-1 libgpg-error0 zlib1g'
).split(' ')
const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'
const again = 'Check the network and run it again, or put a redis-server 8 on PATH.'

export async function installRedis(install: Install): Promise<RedisParts> {
  const { onProgress, part } = install
  const own = await findOnPath()
  if (own && own.major >= 8) return own
  const linux = readLinux()
  if (!linux || !(await which('apt-get')) || !(await which('dpkg-deb'))) {
    // Functions came with 7, and nothing newer is needed.
    if (own && own.major >= 7) return own
    throw new FatalError(
      'SETUP_FAILED',
      own ? `Redis 8 is needed, here is ${own.version}.` : 'There is no redis-server.',
      'Install Redis 8 so that redis-server is on PATH, or start a Docker engine.',
    )
  }
  const folder = await installFolder(install, `redis-${suite}`, (building) => fetchRedis(install, linux.id, building))
  const parts = await unpacked(folder)
  onProgress({ part, text: `Redis ${parts.version} is ready`, done: true })
  return parts
}

async function findOnPath(): Promise<(RedisParts & { major: number }) | undefined> {
  const command = await which('redis-server')
  const version = command && (await run(command, ['--version'])).out.match(/v=(\S+)/)?.[1]
  return command && version ? { command, version, args: [], major: Number.parseInt(version, 10) } : undefined
}

async function fetchRedis(install: Install, system: string, building: string): Promise<void> {
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
  await fetchPackages(install, apt)
  tell('unpacks')
  for (const file of readdirSync(apt.archives).filter((name) => name.endsWith('.deb'))) {
    const ran = await run('dpkg-deb', ['-x', join(apt.archives, file), join(building, 'unpacked')], { signal })
    if (ran.code !== 0) throw setupFailed(install, `dpkg-deb could not unpack ${file}`, ran, again)
  }
  // Libraries and binaries is all that runs.
  renameSync(join(building, 'unpacked', 'usr'), join(building, 'usr'))
  for (const leftover of ['unpacked', 'apt', 'usr/share', 'keyring', 'tools']) {
    rmSync(join(building, leftover), { recursive: true, force: true })
  }
  await unpacked(building)
}

async function fetchPackages(install: Install, apt: Apt): Promise<void> {
  let fetched = 0
  const ran = await apt.download(packages, (line) => {
    if (!line.startsWith('Get:')) return
    fetched += 1
    install.onProgress({
      part: install.part,
      text: `fetches ${fetched} of ${packages.length} packages (10 MB)`,
      done: false,
    })
  })
  if (ran.code !== 0) throw setupFailed(install, `apt could not fetch Redis: ${aptComplaint(ran)}`, ran, again)
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

async function unpacked(folder: string): Promise<RedisParts> {
  const libraries = readdirSync(join(folder, 'usr/lib'))
    .map((entry) => join(folder, 'usr/lib', entry))
    .find((path) => existsSync(join(path, 'libc.so.6')))
  const loader = libraries && readdirSync(libraries).find((file) => file.startsWith('ld-linux'))
  if (!libraries || !loader)
    throw new FatalError('SETUP_FAILED', `${folder} holds no C library.`, `Delete ${folder} and run it again.`)
  const command = join(libraries, loader)
  const args = ['--library-path', libraries, join(folder, 'usr/bin/redis-server')]
  const { out } = await run(command, [...args, '--version'])
  const version = out.match(/v=(\S+)/)?.[1]
  if (!version)
    throw new FatalError(
      'SETUP_FAILED',
      `The unpacked Redis does not run: ${out.trim()}.`,
      `Delete ${folder} and run it again.`,
    )
  return { version, command, args }
}
