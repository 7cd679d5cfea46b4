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

export function readUsage(pid: number): Usage | null {
  try {
    return parseUsage(readFileSync(`/proc/${pid}/status`, 'utf8'), readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return null
  }
}

export function parseUsage(status: string, stat: string): Usage | null {
  const bytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN) * 1024
  // The name of the program stands in brackets and may hold anything, spaces and brackets included.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const usage = {
    residentBytes: bytes('VmRSS'),
    residentBytesPeak: bytes('VmHWM'),
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
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
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const ticks = fields.slice(11, withEnded ? 15 : 13).reduce((sum, field) => sum + Number(field), 0)
    return {
      own: bytes('RssAnon'),
      shared: bytes('RssFile') + bytes('RssShmem'),
      cpuSeconds: ticks / ticksPerSecond,
    }
  } catch {
    return null
  }
}
