/** What the simulators' commands are given, and how they tell where they are: a line that renews itself on a terminal, a plain line a second elsewhere. */
import type { Settings } from '../core/settings.ts'

export interface SimulateIo {
  readonly settings: Settings
  readonly signal: AbortSignal
  readonly now: () => number
  /** Progress, for people. */
  readonly write: (text: string) => void
  /** The JSON line. With --json the progress belongs on standard error, so that standard output is one line. */
  readonly writeResult: (text: string) => void
  readonly terminal: boolean
}

export const tellProgress = ({ terminal, write }: SimulateIo, line: string): void =>
  write(terminal ? `\r\x1b[2K${line}` : `${line}\n`)

/** Below the last line of progress. */
export const tellEnd = ({ terminal, write }: SimulateIo, text: string): void => write(`${terminal ? '\n' : ''}${text}`)
