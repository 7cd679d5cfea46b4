/**
 * The bootstrap: from a bare clone to the project's own Node 24 with everything the lockfile names. Plain JavaScript for Node >= 20 with nothing installed.
 * Promises: does nothing, quickly, when all is there; two at once do not disturb each other; an interrupted run is begun anew by the next one.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import nodeModule from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { withLock } from '../src/stack/lock.mjs'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const major = (version) => Number.parseInt(version.replace(/^v/, ''), 10)

/** What Node has compiled, and taken types from, is kept: every process starts in half the time and has 30 MiB less. */
process.env.NODE_COMPILE_CACHE ??= join(root, '.local', 'compile-cache')

/** Installs what is missing and answers the path of a Node >= 24. `everything` is false for commands that a deployment without development dependencies runs. */
export async function prepare({ everything }) {
  if (major(process.versions.node) < 20) fail(`Node ${process.versions.node} is too old.`, 'Install Node 20 or newer.')
  if (!isInstalled(everything)) {
    await withLock(join(root, '.local', 'npm.lock'), async () => isInstalled(everything) || install(), {
      onWait: (pid) => say(`waiting for process ${pid}, which installs the dependencies`),
    })
  }
  const node = findNode()
  if (!node) {
    fail(
      'This project runs on Node 24, and npm has no copy of it for this machine.',
      'Install Node 24 or newer, so that `node --version` shows it.',
    )
  }
  return node
}

/** True when the process that runs this is recent enough and nothing else speaks for a child. */
export function canRunHere() {
  // npm sends SIGINT to its child, which a terminal's Ctrl-C has reached already; a parent that ignores SIGINT keeps the second one from the program.
  const can = major(process.versions.node) >= 24 && !process.env.npm_lifecycle_event
  if (can) nodeModule.enableCompileCache()
  return can
}

/**
 * Runs a program on `node` as if it were this process: its own output, its exit code. The channel tells the child when this process dies, kill -9
 * included. Ctrl-C reaches the child by itself, as a member of the terminal's foreground group.
 */
export function runOn(node, args) {
  const child = spawn(node, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  if (process.env.npm_lifecycle_event) {
    // Nothing tells us when npm is killed, but we are then given another parent.
    const parent = process.ppid
    setInterval(() => process.ppid !== parent && child.connected && child.disconnect(), 500).unref()
  }
  return new Promise((resolve) => {
    child.on('error', (error) =>
      fail(`${node} does not start: ${error.message}.`, 'Remove node_modules and run it again.'),
    )
    child.on('exit', (code, signal) => resolve(signal ? 128 + (signals[signal] ?? 0) : code))
  })
}

const signals = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 }

/**
 * npm writes node_modules/.package-lock.json last, so a whole installation has one that agrees with the lockfile. The stamp keeps this to a hash of
 * one file in every later run.
 */
function isInstalled(everything) {
  const lockfile = readFileSync(join(root, 'package-lock.json'), 'utf8')
  const hash = createHash('sha256').update(`${process.platform} ${process.arch} ${lockfile}`).digest('hex')
  const stamp = join(modules, '.millrace')
  const scope = everything ? 'everything' : 'production'
  const stamped = readOr(stamp, '').split('\n')
  if (stamped.includes(`everything ${hash}`) || stamped.includes(`${scope} ${hash}`)) return true
  const installed = JSON.parse(readOr(join(modules, '.package-lock.json'), '{}')).packages ?? {}
  const missing = Object.entries(JSON.parse(lockfile).packages).find(([path, wanted]) => {
    if (path === '' || wanted.optional || (wanted.dev && !everything) || (wanted.devOptional && !everything))
      return false
    return installed[path]?.version !== wanted.version || !existsSync(join(root, path))
  })
  if (missing || !findNode()) return false
  try {
    writeFileSync(stamp, `${scope} ${hash}\n`)
  } catch {
    // A read-only deployment pays for the comparison each time.
  }
  return true
}

/**
 * Not `npm ci`: the lockfile cannot name every platform's build of every tool (some are published later, or not at all), and npm ci refuses such a
 * lockfile. `npm install --no-save` takes from the lockfile all that it names, checks it by its hash, and leaves the lockfile alone.
 */
async function install() {
  const log = join(root, '.local', 'npm.log')
  mkdirSync(dirname(log), { recursive: true })
  const out = openSync(log, 'w')
  const flags = ['--no-save', '--include=dev', '--include=optional', '--no-audit', '--no-fund', '--loglevel=http']
  const child = spawn('npm', ['install', ...flags], { cwd: root, stdio: ['ignore', out, out] })
  closeSync(out)
  const started = Date.now()
  const seconds = () => Math.round((Date.now() - started) / 1000)
  const fetched = () => readOr(log, '').match(/http fetch GET 200/g)?.length ?? 0
  const tell = () => say(`npm installs the dependencies: ${fetched()} answers from the registry, ${seconds()} s`, true)
  say('npm installs the dependencies (once, about 300 MB on disk)', true)
  const timer = setInterval(tell, process.stderr.isTTY ? 500 : 5000)
  const end = (signal) => child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, end)
  const [code, problem] = await new Promise((resolve) => {
    child.on('error', (error) => resolve([1, error.code === 'ENOENT' ? 'npm is not on PATH' : error.message]))
    child.on('exit', (exitCode, signal) => resolve([exitCode ?? 1, signal ?? `exit code ${exitCode}`]))
  })
  clearInterval(timer)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.off(signal, end)
  const text = readOr(log, '')
  if (code !== 0) {
    const said = text.split('\n').filter((line) => /^npm (error|ERR!) (?!A complete log|code)/.test(line))[0]
    const why = /ENOSPC/.test(text)
      ? 'no room is left on the disk'
      : (said ?? problem).replace(/^npm (error|ERR!) /, '')
    fail(`npm install failed: ${why} (all of it in ${log}).`, 'Mend the cause and run it again.')
  }
  if (!isInstalled(true)) {
    fail(
      `npm install ended well, but packages or Node 24 are missing (${log}).`,
      'Install Node 24 or newer, or remove node_modules and run it again.',
    )
  }
  say(`dependencies installed in ${seconds()} s`)
}

/** The lockfile pins a Node 24 for the platforms that npm has one for; elsewhere the machine's own must do. */
function findNode() {
  const own = join(modules, `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (existsSync(own)) {
    // Installed for another C library (musl), it is there and does not run.
    const known = readOr(join(modules, '.millrace'), '') !== '' || spawnSync(own, ['--version']).status === 0
    if (known) return own
  }
  return major(process.versions.node) >= 24 ? process.execPath : undefined
}

function readOr(path, otherwise) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return otherwise
  }
}

let isLineOpen = false
/** To stderr: stdout is the program's own. */
function say(text, isPassing = false) {
  const isTerminal = process.stderr.isTTY
  process.stderr.write(
    `${isTerminal && isLineOpen ? '\r\x1b[K' : ''}millrace: ${text}${isTerminal && isPassing ? '' : '\n'}`,
  )
  isLineOpen = isTerminal && isPassing
}

export function fail(what, remedy) {
  if (isLineOpen) process.stderr.write('\n')
  process.stderr.write(`millrace: SETUP_FAILED: ${what} ${remedy}\n`)
  process.exit(1)
}
