export type Identity = { pid: number; start: string }
export function identify(pid: number): Identity | undefined
export function isAlive(identity: Identity | null | undefined): boolean
export function tryWithLock<T>(path: string, work: () => Promise<T>): Promise<{ value: T } | undefined>
export function withLock<T>(
  path: string,
  work: () => Promise<T>,
  options?: { signal?: AbortSignal | undefined; onWait?: (pid: number | undefined) => void },
): Promise<T>
