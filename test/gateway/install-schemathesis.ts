/** Schemathesis, which makes requests of an OpenAPI document: from PyPI into .local/cache, run by the machine's own Python; nothing is installed into the system. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Install, installFolder, setupFailed } from '../../src/stack/install.ts'
import type { OnProgress } from '../../src/stack/progress.ts'
import { run } from '../../src/stack/run.ts'

const version = '4.32.5'

export interface Schemathesis {
  readonly command: string
  /** Before its own. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

/** null: this machine has no Python of 3.10 or later with pip. */
export async function installSchemathesis(root: string, onProgress: OnProgress): Promise<Schemathesis | null> {
  const python = 'python3'
  const able = await run(python, ['-c', 'import sys, pip; sys.exit(0 if sys.version_info >= (3, 10) else 1)'])
  if (able.code !== 0) return null
  const install: Install = { cache: join(root, '.local', 'cache'), part: 'Schemathesis', onProgress, signal: undefined }
  mkdirSync(install.cache, { recursive: true })
  const folder = await installFolder(install, `schemathesis-${version}`, async (building) => {
    onProgress({ part: install.part, text: `fetches version ${version}`, done: false })
    const what = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', building]
    const ran = await run(python, [...what, `schemathesis==${version}`])
    if (ran.code !== 0)
      throw setupFailed(install, 'pip could not install Schemathesis', ran, 'Check the network and run it again.')
  })
  return { command: python, args: [join(folder, 'bin', 'st')], env: { PYTHONPATH: folder } }
}
