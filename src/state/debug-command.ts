/** `millrace state debug`: a debug session at a terminal by keys, or elsewhere as one line or block for each event that it stops at. Changes nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../core/errors.ts'
import { wholeFlag } from '../core/flag.ts'
import { keysOf } from '../core/terminal-keys.ts'
import { openScreen, type Terminal } from '../live/screen.ts'
import { fitting, type LoadedReducer, loadReducer, loadReducers } from '../process/load-reducer.ts'
import { readRange, type StateContext, warn, withSession } from './command.ts'
import { type DebugSession, type DebugView, openDebug } from './debug.ts'
import { type Command, firstFace, press, renderDebug, renderStop } from './debug-screen.ts'
import type { StateFlags } from './flags.ts'
import { withHistory } from './postgres-history.ts'
import { requireKept, stateAt } from './state-at.ts'

/** A terminal's keys: what process.stdin is. */
export interface Keys {
  readonly isTTY?: boolean
  setRawMode?(raw: boolean): unknown
  setEncoding(encoding: 'utf8'): unknown
  on(event: 'data', listener: (text: string) => void): unknown
  on(event: 'end', listener: () => void): unknown
  off(event: 'data', listener: (text: string) => void): unknown
  resume(): unknown
  pause(): unknown
}

export interface DebugContext extends StateContext {
  readonly stdin: Keys
  readonly stdout: Terminal & { readonly isTerminal: boolean }
}

export async function debugCommand(
  subject: string | undefined,
  flags: StateFlags,
  context: DebugContext,
): Promise<number> {
  const { from, to } = readRange(flags, context)
  if (subject === undefined && from === null)
    throw new FatalError('USAGE', 'state debug needs a subject, or --from.', 'millrace state debug --help shows how.')
  const limit = wholeFlag('limit', flags.limit ?? '1000', 1)
  const named = flags.reducer === undefined ? null : await loadReducer(flags.reducer)
  const all = named === null ? await loadReducers() : []
  const reducerOf = (who: string): LoadedReducer | null => named ?? fitting(all, who)
  return withSession(context, 'millrace state debug', async ({ session, table }) => {
    const look: Parameters<typeof openDebug>[0]['look'] = (work) => withHistory(session, table, work)
    await look(async (history) => {
      await warn(history, from, to, context)
      const reducer = subject === undefined ? null : reducerOf(subject)
      if (subject !== undefined && reducer !== null) await stateAt(history, reducer, subject, to)
      else requireKept(await history.days(), to)
    })
    const debug = openDebug({
      subject: subject ?? null,
      ...(flags.type !== undefined && { types: flags.type }),
      from,
      to,
      reducerOf,
      look,
    })
    for (const text of flags.break ?? []) await debug.toggle(text)
    const isByKeys = context.stdin.isTTY === true && context.stdout.isTerminal && flags.json !== true
    const title = `${subject ?? 'all subjects'}, ${from ?? 'from the beginning'} to ${to}`
    if (isByKeys) await byKeys(debug, title, context)
    else await byLines(debug, limit, flags, context)
    return 0
  })
}

/** Every event, or every stop where there are breakpoints. */
async function byLines(
  debug: DebugSession,
  limit: number,
  flags: StateFlags,
  { write, signal }: DebugContext,
): Promise<void> {
  const runs = (flags.break ?? []).length > 0
  let last = -1
  for (let told = 0; told < limit; told++) {
    signal.throwIfAborted()
    const view = runs ? await debug.run(signal) : await debug.step()
    // At the end nothing more comes, and the last one was told unless a breakpoint has just found it.
    if (view.position === last || (runs && view.hit === null)) return
    last = view.position
    if (view.position === 0) return
    const { breakpoints: _, ...rest } = view
    if (flags.json) write(`${JSON.stringify(rest)}\n`)
    else write(renderStop(view))
  }
}

async function byKeys(debug: DebugSession, title: string, { stdin, stdout, signal }: DebugContext): Promise<void> {
  const screen = openScreen(stdout)
  const waiting: string[] = []
  let wake = () => {}
  let isOver = false
  /** Cut short by any key. */
  let running: AbortController | null = null
  const hear = (text: string) => {
    waiting.push(...keysOf(text))
    running?.abort()
    wake()
  }
  const end = () => {
    isOver = true
    running?.abort()
    wake()
  }
  stdin.setEncoding('utf8')
  stdin.setRawMode?.(true)
  stdin.on('data', hear)
  stdin.on('end', end)
  stdin.resume()
  signal.addEventListener('abort', end, { once: true })
  const carryOut = async (command: Exclude<Command, 'quit'>): Promise<DebugView> => {
    if (typeof command === 'object') return debug.toggle(command.toggle)
    if (command !== 'run') return debug[command]()
    running = new AbortController()
    try {
      return await debug.run(running.signal)
    } finally {
      running = null
    }
  }
  try {
    let face = firstFace
    let view = await debug.step()
    for (;;) {
      screen.draw(renderDebug(view, face, title, stdout))
      while (waiting.length === 0 && !isOver) {
        // A resize shows itself at the next look.
        await Promise.race([new Promise<void>((resolve) => (wake = resolve)), sleep(1000)])
        if (waiting.length === 0 && !isOver) screen.draw(renderDebug(view, face, title, stdout))
      }
      const key = waiting.shift()
      if (key === undefined || signal.aborted) return
      const pressed = press(face, key, view)
      face = pressed.face
      if (pressed.command === 'quit') return
      if (pressed.command === null) continue
      try {
        view = await carryOut(pressed.command)
      } catch (error) {
        // A condition that is not understood is no reason to leave.
        if (!(error instanceof FatalError && error.code === 'USAGE')) throw error
        face = { ...face, note: error.message }
      }
    }
  } finally {
    stdin.off('data', hear)
    stdin.setRawMode?.(false)
    stdin.pause()
    screen.close()
  }
}
