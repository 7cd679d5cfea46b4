/** The body of `millrace replay`: begins a replay or goes on with one, shows how far it is, and says how to go on where it ends early. */
import pg from 'pg'
import { FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { isTopicMissing, kafkaFailure, topicMissing } from '../process/connect-kafka.ts'
import { postgresFailure } from '../process/connect-postgres.ts'
import { targetName } from './description.ts'
import { checkTogether, type ReplayFlags, readDescription, readRate, readSpeed } from './flags.ts'
import { type Keyboard, pressKey } from './keyboard.ts'
import type { Replay } from './port.ts'
import { estimateText, howToResume, listText, progressLine, resultText } from './print.ts'
import { openReplays, type ReplaysContext } from './replays.ts'

export interface ReplayIo {
  readonly write: (text: string) => void
  readonly writeError: (text: string) => void
  /** Whether writeError reaches a terminal, and how wide it is. */
  readonly terminal: boolean
  readonly columns: () => number
  /** Null: nobody is there to press a key. */
  readonly keyboard: Keyboard | null
}

export interface ReplayCommandContext extends ReplaysContext {
  /** Of a replay that gets none from its flags. */
  readonly newId: string
  /** Where names of files are seen from. */
  readonly directory: string
  readonly signal: AbortSignal
}

const showEveryMs = 250
const noteMs = 3000
const listed = 50

export async function replayCommand(flags: ReplayFlags, context: ReplayCommandContext, io: ReplayIo): Promise<number> {
  const { settings, signal, now, newId, directory } = context
  checkTogether(flags)
  const replays = openReplays(context)
  let begun = false
  try {
    if (flags.list) {
      const found = await replays.list(listed)
      io.write(flags.json ? `${JSON.stringify(found)}\n` : listText(found))
      return 0
    }
    if (flags.discard !== undefined) {
      await replays.discard(flags.discard)
      io.write(flags.json ? `${JSON.stringify({ discarded: flags.discard })}\n` : `Gave up replay ${flags.discard}.\n`)
      return 0
    }
    if (flags.resume !== undefined) {
      const changes = {
        ...(flags.speed !== undefined && { speed: readSpeed(flags.speed) }),
        ...(flags.rate !== undefined && { ratePerSecond: readRate(flags.rate) }),
      }
      const replay = await replays.resume(flags.resume, changes)
      begun = true
      if (replay.description.speed === 'step' && io.keyboard === null) {
        replay.stop()
        await replay.done
        throw noKeys()
      }
      return await follow(replay, flags, context, io)
    }
    const description = readDescription(flags, { id: newId, nowMs: now(), directory })
    for (const warning of await replays.warnings(description)) io.writeError(`millrace: ${warning}.\n`)
    if (flags.dryRun) {
      const estimate = await replays.estimate(description, signal)
      io.write(flags.json ? `${JSON.stringify(estimate)}\n` : estimateText(estimate))
      return 0
    }
    if (description.speed === 'step' && io.keyboard === null) throw noKeys()
    const replay = await replays.begin(description, signal)
    begun = true
    return await follow(replay, flags, context, io)
  } catch (error) {
    if (signal.aborted && !begun && !(error instanceof FatalError)) {
      io.writeError('millrace: stopped before anything was replayed.\n')
      return 1
    }
    throw explained(error, settings)
  }
}

/** It would stand still for ever, and say nothing. */
const noKeys = () =>
  new FatalError(
    'USAGE',
    'Steps are made by the keys of a terminal, and there is none here.',
    'Choose another --speed, or begin it at `millrace serve` as a controlled replay.',
  )

/** To its end, on the screen. */
async function follow(
  replay: Replay,
  { json = false }: ReplayFlags,
  { signal, clock }: ReplayCommandContext,
  io: ReplayIo,
): Promise<number> {
  const { description } = replay
  const { id } = description
  const ended = new AbortController()
  const stop = () => replay.stop()
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  let note: { readonly text: string; readonly untilMs: number } | null = null
  io.keyboard?.onKey((key) => {
    // From here on Ctrl-C is a signal again, for whoever has no patience.
    if (key === 'q' || key === '\x03') io.keyboard?.close()
    let text: string | null
    try {
      text = pressKey(replay, key)
    } catch (error) {
      text = (error as Error).message
    }
    note = text === null ? null : { text, untilMs: clock.steadyMs() + noteMs }
  })
  const clear = io.terminal ? '\r\x1b[2K' : ''
  const show = () => {
    const told =
      note !== null && clock.steadyMs() < note.untilMs ? note.text : progressLine(replay.snapshot(), io.columns())
    io.writeError(`${clear}${told.slice(0, io.columns() - 1)}`)
  }
  const showing = (async () => {
    while (io.terminal && !ended.signal.aborted) {
      show()
      await clock.sleep(showEveryMs, ended.signal).catch(() => {})
    }
  })()
  try {
    const progress = await replay.done
    ended.abort()
    await showing
    io.writeError(clear)
    const say = description.target.kind === 'stdout' ? io.writeError : io.write
    say(json ? `${JSON.stringify(progress)}\n` : resultText(progress, targetName(description)))
    return progress.state === 'done' ? 0 : 1
  } catch (error) {
    ended.abort()
    await showing
    io.writeError(`${clear}${howToResume(id)}`)
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
    io.keyboard?.close()
  }
}

/** What the servers behind a replay say, as errors with a code and a remedy. */
export function explained(error: unknown, settings: Settings): unknown {
  if (error instanceof FatalError || !(error instanceof Error)) return error
  if (isTopicMissing(error)) return topicMissing('of the replay', '', error)
  if (error.name.startsWith('KafkaJS')) return kafkaFailure(error, settings)
  const isConnection = /Connection terminated|ECONN|EPIPE/.test(error.message)
  if (error instanceof pg.DatabaseError || isConnection) return postgresFailure(error, settings)
  return error
}
