/** What processes have used, from /proc: CPU seconds and the highest resident memory, with all their children. Linux only. */
import { readdirSync, readFileSync } from 'node:fs'

export interface Usage {
  readonly cpuSeconds: number
  readonly residentMiB: number
}

interface Known {
  readonly parent: number
  readonly ticks: number
}

const ticksPerSecond = 100

function read(pid: number): Known | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // From the third field on: a name may have spaces in it.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    // Its own user and system time, and that of children it has waited for.
    const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0)
    return { parent: Number(fields[1]), ticks }
  } catch {
    return null
  }
}

function highestMiB(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

/** PostgreSQL's processes share most of what each of them counts as its own: of several processes the largest counts. */
export function usageOf(root: number): Usage {
  const all = new Map<number, Known>()
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    const known = Number.isInteger(pid) ? read(pid) : null
    if (known !== null) all.set(pid, known)
  }
  const belongs = (pid: number): boolean => {
    for (let at = pid; at > 1; at = all.get(at)?.parent ?? 0) if (at === root) return true
    return false
  }
  const pids = [...all.keys()].filter(belongs)
  const ticks = pids.reduce((sum, pid) => sum + (all.get(pid)?.ticks ?? 0), 0)
  return { cpuSeconds: ticks / ticksPerSecond, residentMiB: Math.max(0, ...pids.map(highestMiB)) }
}
