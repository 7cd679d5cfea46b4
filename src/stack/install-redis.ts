/**
 * Redis 8: the `redis-server` on PATH when it is new enough; on Debian and Ubuntu otherwise Debian trixie's packages, unpacked into .local/cache with
 * the C library that they were built for and started through that library's own loader. Nothing is installed into the system.
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import type { Install } from './install.ts'
import { hasDebianTools, installDebian } from './install-debian.ts'
import { run, which } from './run.ts'

export type RedisParts = { version: string; command: string; args: string[] }

const packages = (
  'redis-server redis-tools libc6 libstdc++6 libgcc-s1 libjemalloc2 liblzf1 libatomic1 libssl3t64 libsystemd0 ' +
  'libcap2 libgcrypt20 liblzma5 libzstd1 liblz4-1 libgpg-error0 zlib1g'
).split(' ')

export async function installRedis(install: Install): Promise<RedisParts> {
  const { onProgress, part } = install
  const own = await findOnPath()
  if (own && own.major >= 8) return own
  if (!(await hasDebianTools())) {
    // Functions came with 7, and nothing newer is needed.
    if (own && own.major >= 7) return own
    throw new FatalError(
      'SETUP_FAILED',
      own ? `Redis 8 is needed, here is ${own.version}.` : 'There is no redis-server.',
      'Install Redis 8 so that redis-server is on PATH, or start a Docker engine.',
    )
  }
  // Libraries and binaries is all that runs.
  const keep = ['bin', 'lib', 'lib64']
  const folder = await installDebian(install, { name: 'redis', packages, megabytes: 10, keep, finish: unpacked })
  const parts = await unpacked(folder)
  onProgress({ part, text: `Redis ${parts.version} is ready`, done: true })
  return parts
}

async function findOnPath(): Promise<(RedisParts & { major: number }) | undefined> {
  const command = await which('redis-server')
  const version = command && (await run(command, ['--version'])).out.match(/v=(\S+)/)?.[1]
  return command && version ? { command, version, args: [], major: Number.parseInt(version, 10) } : undefined
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
