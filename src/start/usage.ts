/** Memory and CPU of a process as the kernel counts them: also its peak, and also that of a process too busy to tell. Linux only; null elsewhere. */
import { readFileSync } from 'node:fs'

export interface Usage {
  readonly residentBytes: number
  readonly residentBytesPeak: number
  /** All threads, since the process began. */
  readonly cpuSeconds: number
}

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
