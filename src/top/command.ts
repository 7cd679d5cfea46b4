/** The body of `millrace top`: looks at the replicas of a fleet through their admin ports, and shows it live. It needs nothing else and changes nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import { FatalError } from '../core/errors.ts'
import type { Status } from '../core/status.ts'
import { renderFrame } from '../live/frame.ts'
import { renderLine } from '../live/line.ts'
import type { Picture } from '../live/picture.ts'
import { type Output, openView, styleOf } from '../live/view.ts'
import { askStatus, openWatch, type Watch, type Watched } from '../live/watch.ts'
import { type Finder, type Lookup, openFinder } from './find.ts'
import { readTopFlags, type TopFlags } from './flags.ts'

export interface TopIo {
  readonly root: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly replicaAddresses: readonly string[]
  readonly adminPort: number
  readonly lookup: Lookup
  readonly stdout: Output
  readonly now: () => number
  /** Ctrl-C: the end, and no failure. */
  readonly signal: AbortSignal
}

/** Of a replica whose settings say nothing, or that any free port will do. */
const usualPort = 9464
/** So long between two looks makes a rate. */
const onceMs = 1000
const plainColumns = 110

export async function topCommand(flags: TopFlags, io: TopIo): Promise<number> {
  const { at, stack, everyMs, once, json } = readTopFlags(flags)
  const { stdout, now, signal, root } = io
  const given = at.length > 0 ? at : stack === null ? io.replicaAddresses : []
  const finder = openFinder({ at: given, root, stack, usualPort: io.adminPort || usualPort, lookup: io.lookup, now })
  const crowd = openCrowd(finder, now)
  await crowd.look()
  if (crowd.watch.serving().length === 0) throw await unreachable(finder)

  const style = styleOf(io.env, stdout.isTerminal)
  const isLive = stdout.isTerminal && !once && !json
  const view = isLive ? openView(stdout, style, now) : null
  const show = () => {
    const picture = crowd.watch.picture()
    if (json) stdout.write(`${JSON.stringify(briefPicture(picture))}\n`)
    else if (once) stdout.write(`${renderFrame(picture, sizeOf(picture, stdout), style).join('\n')}\n`)
    else if (view !== null) view.show(picture)
    else stdout.write(`${renderLine(picture)}\n`)
  }
  try {
    if (!once) show()
    do {
      await sleep(once ? onceMs : everyMs, undefined, { signal })
      await crowd.look()
      show()
    } while (!once)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    view?.close()
  }
  return 0
}

/** Everybody that the finder finds, watched; whoever leaves or comes back is told as an event. */
function openCrowd(finder: Finder, now: () => number): { readonly watch: Watch; look(): Promise<void> } {
  interface Member extends Watched {
    state: { readonly kind: 'serving'; readonly adminUrl: string }
    restarts: number
    lifeMs: number | null
    isSilent: boolean
  }
  const members: Member[] = []
  const memberAt = (adminUrl: string) => members.find(({ state }) => state.adminUrl === adminUrl)
  const watch = openWatch({
    replicas: members,
    now,
    hint: 'Ctrl-C ends this view; the fleet goes on',
    async ask(adminUrl): Promise<Status> {
      const status = await askStatus(adminUrl)
      const member = memberAt(adminUrl)
      if (member !== undefined && member.lifeMs !== null && member.lifeMs !== status.startedMs) {
        member.restarts += 1
        watch.event(`${status.replica} was started anew`)
      }
      if (member !== undefined) member.lifeMs = status.startedMs
      return status
    },
    onAnswer(name, failure) {
      const member = members.find((one) => one.name === name)
      if (member === undefined || member.isSilent === (failure !== null)) return
      member.isSilent = failure !== null
      if (member.lifeMs !== null) watch.event(failure === null ? `${name} answers again` : `${name} does not answer`)
    },
  })
  return {
    watch,
    async look() {
      const found = await finder.find()
      for (const { name, adminUrl } of found) {
        const known = members.find((one) => one.name === name)
        // Started anew, it may answer at another port.
        if (known !== undefined) known.state = { kind: 'serving', adminUrl }
        else
          members.push({
            name,
            state: { kind: 'serving', adminUrl },
            restarts: 0,
            lifeMs: null,
            isSilent: false,
          })
      }
      for (let at = members.length - 1; at >= 0; at -= 1) {
        const { name } = members[at] as Member
        if (found.some((one) => one.name === name)) continue
        members.splice(at, 1)
        watch.event(`${name} is gone`)
      }
      await watch.look()
    },
  }
}

/** For programs: what is now. What was in the last minutes they have had before. */
function briefPicture({ storedHistory: _, p99History: __, lagHistory: ___, ...picture }: Picture) {
  return picture
}

/** On paper there is room for all. */
function sizeOf({ replicas, partitions }: Picture, stdout: Output) {
  return {
    columns: stdout.isTerminal ? stdout.columns : plainColumns,
    rows: 40 + replicas.length + 2 * partitions.length,
  }
}

async function unreachable(finder: Finder): Promise<FatalError> {
  const found = await finder.find()
  const asked = found.map(({ adminUrl }) => adminUrl.replace('http://', ''))
  return new FatalError(
    'REPLICA_UNREACHABLE',
    asked.length === 0
      ? `There is no replica of ${finder.where}.`
      : `No replica answers at ${asked.slice(0, 5).join(', ')}${asked.length > 5 ? ` and ${asked.length - 5} more` : ''}.`,
    'Name their admin ports: --at host:port, or MILLRACE_REPLICA_ADDRESSES; a replica logs its own when it serves.',
  )
}
