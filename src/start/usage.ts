/** Memory and CPU of a process as the kernel counts them: also its peak, and also that of a process too busy to tell. Linux only; null elsewhere. */
import { readFileSync } from 'node:fs'

export interface Usage {
  readonly residentBytes: number
  readonly residentBytesPeak: number
  /** All threads, since the process began. */
  readonly cpuSeconds: number
}

/** A server and the processes it has started, added up. */
export type TreeUsage = Pick<Usage, 'residentBytes' | 'cpuSeconds'>

/** USER_HZ: 100 on every Linux that Node runs on. */
const ticksPerSecond = 100

const read = (pid: number, file: 'status' | 'stat') => readFileSync(`/proc/${pid}/${file}`, 'utf8')

/** NaN where it does not stand: a process that has ended and is not waited for yet has no memory. */
const bytesOf = (status: string, name: string) =>
  Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) * 1024

/** `withEnded`: and that of its children that have ended. */
function cpuSecondsOf(stat: string, withEnded: boolean): number {
  // The name of the program stands in brackets and may hold anything, spaces and brackets included.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields.slice(11, withEnded ? 15 : 13).reduce((sum, ticks) => sum + Number(ticks), 0) / ticksPerSecond
}

export function readUsage(pid: number): Usage | null {
  try {
    return parseUsage(read(pid, 'status'), read(pid, 'stat'))
  } catch {
    return null
  }
}

export function parseUsage(status: string, stat: string): Usage | null {
  const usage = {
    residentBytes: bytesOf(status, 'VmRSS'),
    residentBytesPeak: bytesOf(status, 'VmHWM'),
    cpuSeconds: cpuSecondsOf(stat, false),
  }
  return Object.values(usage).some(Number.isNaN) ? null : usage
}

/**
 * With its children, which is how PostgreSQL runs. Memory that they share is counted once; CPU of children that have ended is in it.
 */
export function readTreeUsage(pid: number): TreeUsage | null {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    const pids = children === '' ? [] : children.split(' ').map(Number)
    let shared = 0
    let own = 0
    let cpuSeconds = 0
    for (const one of [pid, ...pids]) {
      const usage = readParts(one, one === pid)
      if (usage === null) continue
      shared = Math.max(shared, usage.shared)
      own += usage.own
      cpuSeconds += usage.cpuSeconds
    }
    return own + shared > 0 ? { residentBytes: own + shared, cpuSeconds } : null
  } catch {
    return null
  }
}

function readParts(pid: number, withEnded: boolean): { own: number; shared: number; cpuSeconds: number } | null {
  try {
    const status = read(pid, 'status')
    return {
      own: bytesOf(status, 'RssAnon') || 0,
      shared: (bytesOf(status, 'RssFile') || 0) + (bytesOf(status, 'RssShmem') || 0),
      cpuSeconds: cpuSecondsOf(read(pid, 'stat'), withEnded),
    }
  } catch {
    return null
  }
}
