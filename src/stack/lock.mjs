/**
 * Promises: at most one process at a time does the work behind a lock file, and a holder that died (kill -9 included) never blocks the next one.
 * A process is known by its pid and its start time, so a pid that the system has given to somebody else is never taken for ours.
 * Plain JavaScript: bin/ needs it before dependencies, and therefore TypeScript by type stripping, are there.
 */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** @param {number} pid @returns {{ pid: number, start: string } | undefined} nothing when there is no such process, or only its zombie */
export function identify(pid) {
  if (process.platform === 'linux') {
    try {
      // The command name, in parentheses, may itself hold spaces and parentheses.
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')
      return fields[0] === 'Z' || fields[0] === 'X' ? undefined : { pid, start: fields[19] }
    } catch {
      return undefined
    }
  }
  try {
    const [state, ...start] = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' })
      .trim()
      .split(/\s+/)
    return !state || state.startsWith('Z') ? undefined : { pid, start: start.join(' ') }
  } catch {
    return undefined
  }
}

/** @param {{ pid: number, start: string } | null | undefined} identity */
export function isAlive(identity) {
  return identity ? identify(identity.pid)?.start === identity.start : false
}

/** @param {string} path */
function readHolder(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

/** @param {string} path */
function tryTake(path) {
  try {
    const file = openSync(path, 'wx')
    writeSync(file, JSON.stringify(identify(process.pid)))
    closeSync(file)
    return true
  } catch (error) {
    if (error.code === 'EEXIST') return false
    throw error
  }
}

/** A file that is empty, or garbage, belongs to a process that is just writing it, or died doing so: believed dead after 2 s. */
function isStale(path) {
  const holder = readHolder(path)
  if (holder?.pid) return !isAlive(holder)
  try {
    return Date.now() - statSync(path).mtimeMs > 2000
  } catch {
    return false
  }
}

/**
 * Two waiters may both find a dead holder. Only the one that takes the second lock may remove the first, after a second look: else the slower one
 * would remove the lock that the faster one has just taken.
 */
function breakIfStale(path) {
  if (!isStale(path)) return
  const breaker = `${path}.break`
  if (!tryTake(breaker)) {
    if (isStale(breaker)) unlinkIfThere(breaker)
    return
  }
  try {
    if (isStale(path)) unlinkIfThere(path)
  } finally {
    unlinkIfThere(breaker)
  }
}

function unlinkIfThere(path) {
  try {
    unlinkSync(path)
  } catch (error) {
    if (error.code !== 'ENOENT') throw error
  }
}

/** Does nothing, and returns undefined, when another live process holds the lock. */
export async function tryWithLock(path, work) {
  mkdirSync(dirname(path), { recursive: true })
  if (!tryTake(path)) {
    breakIfStale(path)
    if (!tryTake(path)) return undefined
  }
  try {
    return { value: await work() }
  } finally {
    unlinkIfThere(path)
  }
}

/** Waits for the lock; `onWait` hears once, with the holder's pid, that it has to. */
export async function withLock(path, work, { signal, onWait } = {}) {
  for (let told = false; ; ) {
    const done = await tryWithLock(path, work)
    if (done) return done.value
    signal?.throwIfAborted()
    if (!told) onWait?.(readHolder(path)?.pid)
    told = true
    await sleep(50, undefined, { signal })
  }
}
