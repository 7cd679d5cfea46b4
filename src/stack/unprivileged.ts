/**
 * PostgreSQL refuses to run as root. Promises a way to run it all the same when we are root, also in a clone under a folder that only root may enter:
 *
 *   nobody     the system's unprivileged user, where it can reach programs and data
 *   namespace  a user namespace in which root is called 1000: for the file system it is still root, so every folder can be entered and nothing changes owner
 *   copy       where namespaces are forbidden (most containers): that user again, with the programs copied to a folder that all may enter, and with the
 *              one capability that opens the way to the data. The programs need a copy because PostgreSQL looks at them by access(2), which ignores capabilities.
 *
 * Each is tried, not guessed.
 */
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { type Ran, run } from './run.ts'

export const ways = ['nobody', 'namespace', 'copy'] as const
export type Way = (typeof ways)[number]

export type Runner = {
  way: Way | 'self'
  /** Words before the command. */
  prefix: string[]
  uid: { uid: number; gid: number } | undefined
  /** Where bin/, lib/ and share/ are for this user. */
  native: string
}

const capability = '-all,+dac_override'

/** Owns `data` in the right name before it answers. `allowed` is for tests. */
export async function findRunner(native: string, data: string, allowed: readonly Way[] = ways): Promise<Runner> {
  if (process.getuid?.() !== 0) return { way: 'self', prefix: [], uid: undefined, native }
  const said: string[] = []
  for (const way of allowed) {
    const runner = await makeRunner(way, native)
    await ownTree(data, runner.way === 'namespace' ? { uid: 0, gid: 0 } : nobody())
    const ran = await tryRunner(runner, data)
    if (ran.code === 0) return runner
    said.push(`${way}: ${ran.out.trim().split('\n').at(-1)}`)
  }
  throw new FatalError(
    'SETUP_FAILED',
    `PostgreSQL must not run as root, and no other way works here (${said.join('; ')}).`,
    'Run the command as an ordinary user.',
  )
}

async function makeRunner(way: Way, native: string): Promise<Runner> {
  if (way === 'nobody') return { way, prefix: [], uid: nobody(), native }
  if (way === 'namespace') {
    return { way, prefix: ['unshare', '--user', '--map-user=1000', '--map-group=1000'], uid: undefined, native }
  }
  const { uid, gid } = nobody()
  const prefix = [
    'setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    '--clear-groups',
    `--inh-caps=${capability}`,
    `--ambient-caps=${capability}`,
  ]
  return { way, prefix, uid: undefined, native: await copyPrograms(native) }
}

/** Can it start the program, enter the data folder, and write there? */
function tryRunner(runner: Runner, data: string): Promise<Ran> {
  const script = '"$1" --version && cd "$2" && : > .probe && rm .probe'
  const words = [...runner.prefix, 'sh', '-c', script, 'sh', join(runner.native, 'bin', 'postgres'), data]
  return run(words[0]!, words.slice(1), { uid: runner.uid?.uid, gid: runner.uid?.gid })
}

function nobody(): { uid: number; gid: number } {
  const line = readFileSync('/etc/passwd', 'utf8').match(/^nobody:[^:]*:(\d+):(\d+):/m)
  return line ? { uid: Number(line[1]), gid: Number(line[2]) } : { uid: 65534, gid: 65534 }
}

/** Only where the owner differs: a data folder can be large. */
async function ownTree(folder: string, { uid, gid }: { uid: number; gid: number }): Promise<void> {
  const { uid: owner } = lstatSync(folder)
  if (owner === uid) return
  await run('chown', ['-R', `${uid}:${gid}`, folder])
  chownSync(folder, uid, gid)
}

/** A folder of root's own; one that somebody else has put under that name is not used. */
async function copyPrograms(native: string): Promise<string> {
  const hash = createHash('sha256')
    .update(native)
    .update(String(lstatSync(join(native, 'bin', 'postgres')).mtimeMs))
    .digest('hex')
    .slice(0, 12)
  const folder = join(tmpdir(), `millrace-postgres-${hash}`)
  if (existsSync(join(folder, 'bin')) && lstatSync(folder).uid === 0) return folder
  const building = mkdtempSync(`${folder}-`)
  mkdirSync(building, { recursive: true })
  await run('cp', ['-a', `${native}/.`, building])
  await run('chmod', ['-R', 'a+rX,go-w', building])
  chmodSync(building, 0o755)
  try {
    renameSync(building, folder)
  } catch {
    rmSync(building, { recursive: true, force: true })
    if (lstatSync(folder).uid !== 0)
      throw new FatalError('SETUP_FAILED', `${folder} belongs to another user.`, 'Remove it and run it again.')
  }
  return folder
}
