/** Memory and CPU of replicas, over all their lives: measured where they are processes of this machine, else what they say of their memory. */

/** As the kernel counts: also of a process too busy to tell. */
export interface UsageWatched {
  readonly residentBytes: number
  readonly residentBytesPeak: number
  readonly cpuSeconds: number
}

export function createUse(
  now: () => number,
  windowMs: number,
  read: (pid: number) => UsageWatched | null = () => null,
) {
  const peaks = new Map<string, number>()
  const resident = new Map<string, number>()
  const cpu = new Map<string, { pid: number; told: { atMs: number; cpuSeconds: number }[] }>()
  const raise = (name: string, bytes: number) => peaks.set(name, Math.max(peaks.get(name) ?? 0, bytes))

  return {
    /** Highest resident memory of each, in bytes. */
    peaks: peaks as ReadonlyMap<string, number>,
    resident: (name: string): number | null => resident.get(name) ?? null,

    measure(name: string, pid: number): void {
      const usage = read(pid)
      if (usage === null) return
      resident.set(name, usage.residentBytes)
      raise(name, usage.residentBytesPeak)
      const before = cpu.get(name)
      const told = before?.pid === pid ? before.told : []
      told.push({ atMs: now(), cpuSeconds: usage.cpuSeconds })
      while (told.length > 2 && (told[1] as { atMs: number }).atMs < now() - windowMs) told.shift()
      cpu.set(name, { pid, told })
    },

    /** What it says itself counts where nothing was measured. */
    tell(name: string, pid: number | undefined, residentBytes: number): void {
      raise(name, residentBytes)
      if (pid === undefined || !resident.has(name)) resident.set(name, residentBytes)
    },

    /** Of one core, over the window; null: not measured. */
    cpuShare(name: string): number | null {
      const told = cpu.get(name)?.told ?? []
      const first = told[0]
      const last = told.at(-1)
      if (first === undefined || last === undefined || last.atMs <= first.atMs) return null
      return ((last.cpuSeconds - first.cpuSeconds) * 1000) / (last.atMs - first.atMs)
    },
  }
}
