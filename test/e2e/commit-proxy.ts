/**
 * A proxy to PostgreSQL that knows where a transaction's fate is decided, and can lose the line exactly there:
 *
 *   before   what would commit never reaches the server: not stored, and the client does not know
 *   during   it reaches the server, and the client is cut off while the server commits
 *   answer   the server has committed, and its answer is dropped
 *   hold     what would commit waits at the proxy until release(): the transaction stays open with its locks
 *
 * What commits is the last CopyDone of `BEGIN; ...; COPY ...; COMMIT` in one message, or the message that ends in COMMIT where no COPY follows it.
 *
 * Or it stops a transaction at a named place for good, the moment it gets there, so that the client can be killed exactly then.
 */
import { startProxy, type TcpProxy } from './proxy.ts'

export type Fate = 'pass' | 'before' | 'during' | 'answer' | 'hold'

/**
 * Where a storing transaction can be stopped, in the order in which it passes:
 *
 *   begin         nothing of it has reached the server
 *   locked        the ledger is moved and its rows are locked, the server's answer to that is here; no data was sent on
 *   mid-copy      half of the first COPY's data was sent on
 *   copied        all data was sent on, but not the end of the last COPY, behind which the server would commit
 *   commit-sent   all was sent on; the answer is not awaited
 *   commit-done   the server has answered COMMIT; the answer is not delivered
 *   answered      the answer was delivered just now
 */
export const places = ['begin', 'locked', 'mid-copy', 'copied', 'commit-sent', 'commit-done', 'answered'] as const
export type Place = (typeof places)[number]

/** A transaction that was stopped: what it would move in the ledger. */
export interface Stopped {
  readonly slices: readonly { readonly partition: number; readonly firstOffset: number; readonly nextOffset: number }[]
  /** The server has heard that the client is gone: now the outcome is final. */
  readonly over: Promise<void>
}

export interface CommitProxy extends TcpProxy {
  /** How often each fate came to pass. */
  readonly fates: Readonly<Record<Fate, number>>
  /** Lets what was held go on. */
  releaseHeld(): void
  /** The next transaction that gets to the place goes no further, and `kill` is called in that very moment. */
  stopAt(place: Place, kill: () => void): Promise<Stopped>
}

interface Frame {
  readonly type: string
  readonly body: Buffer
  readonly bytes: Buffer
}

/** Cuts a stream of messages into frames: a type byte, a length, a body. A client's first message has no type byte. */
function framer(onFrame: (frame: Frame) => void, startsUntyped: boolean): (bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0)
  let head = startsUntyped ? 0 : 1
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes])
    while (rest.length >= head + 4) {
      const length = head + rest.readUInt32BE(head)
      if (rest.length < length) return
      const frame = rest.subarray(0, length)
      rest = rest.subarray(length)
      onFrame({
        type: head === 0 ? '' : String.fromCharCode(frame[0] as number),
        body: frame.subarray(head + 4),
        bytes: frame,
      })
      head = 1
    }
  }
}

/** What `CALL millrace_advance(consumer, topic, partitions, first offsets, next offsets, ...)` is about. */
function slicesOf(text: string): Stopped['slices'] {
  const [, ...lists] = /CALL millrace_advance\(.*?'\{([\d,]*)\}','\{([\d,]*)\}','\{([\d,]*)\}'/.exec(text) ?? []
  const [partitions = [], first = [], next = []] = lists.map((list) => list.split(',').map(Number))
  return partitions.map((partition, at) => ({
    partition,
    firstOffset: first[at] as number,
    nextOffset: next[at] as number,
  }))
}

/** `decide` is asked once per transaction, when its fate is at hand; of one that stores, it hears what it would move. */
export async function startCommitProxy(
  target: string,
  decide: (slices: Stopped['slices']) => Fate = () => 'pass',
): Promise<CommitProxy> {
  const fates = { pass: 0, before: 0, during: 0, answer: 0, hold: 0 }
  const held = new Set<() => void>()
  let trap: { place: Place; kill: () => void; resolve: (stopped: Stopped) => void } | null = null
  const proxy = await startProxy(target, (line) => {
    let copiesToCome = 0
    let commits = false
    let dropsAnswer = false
    let isHeld = false
    /** The storing transaction under way. */
    let storing: string | null = null
    let hasCommitted = false
    /** Its data waits here for the answer to its first statement. */
    let keepsData = false
    let isStopped = false
    const ended = new Promise<void>((resolve) => line.server.once('close', () => resolve()))
    const waiting: Buffer[] = []
    const isAt = (place: Place) => storing !== null && trap?.place === place
    const stop = () => {
      if (trap === null || storing === null) return
      isStopped = true
      const { kill, resolve } = trap
      trap = null
      kill()
      resolve({ slices: slicesOf(storing), over: ended })
    }
    const pass = (bytes: Buffer) => {
      if (isHeld) waiting.push(bytes)
      else line.server.write(bytes)
    }

    function decided({ bytes }: Frame): void {
      commits = false
      if (isAt('copied') || isAt('commit-sent')) {
        if (isAt('commit-sent')) pass(bytes)
        stop()
        return
      }
      const fate = decide(storing === null ? [] : slicesOf(storing))
      fates[fate]++
      if (fate === 'before') {
        line.cut()
        return
      }
      if (fate === 'hold') {
        isHeld = true
        held.add(() => {
          isHeld = false
          for (const one of waiting.splice(0)) line.server.write(one)
        })
      }
      pass(bytes)
      // The server gets the end of the stream after these bytes, and commits all the same.
      if (fate === 'during') line.client.resetAndDestroy()
      dropsAnswer = fate === 'answer'
    }

    const fromClient = framer((frame) => {
      if (isStopped) return
      if (frame.type === 'Q') {
        const text = frame.body.toString('utf8', 0, frame.body.length - 1)
        commits = /;\s*COMMIT\s*$/.test(text)
        copiesToCome = commits ? (text.match(/;COPY /g)?.length ?? 0) : 0
        storing = commits && text.startsWith('BEGIN;CALL millrace_advance(') ? text : null
        hasCommitted = false
        if (isAt('begin')) return stop()
        // Without data there is nothing between the lock and the COMMIT: that transaction may pass.
        if (isAt('locked') && copiesToCome > 0) keepsData = true
        if (commits && copiesToCome === 0) return isAt('copied') ? pass(frame.bytes) : decided(frame)
      }
      if (keepsData && (frame.type === 'd' || frame.type === 'c')) return
      if (frame.type === 'd' && isAt('mid-copy')) {
        pass(frame.bytes.subarray(0, frame.bytes.length >> 1))
        return stop()
      }
      if (frame.type === 'c' && commits && --copiesToCome === 0) return decided(frame)
      pass(frame.bytes)
    }, true)
    const fromServer = framer(({ type, body, bytes }) => {
      if (isStopped) return
      // The transaction failed: it has no fate any more, and the server passes over its data.
      if (type === 'E') {
        commits = false
        storing = null
        keepsData = false
      }
      const tag = type === 'C' ? body.toString('latin1', 0, body.length - 1) : ''
      if (keepsData && tag === 'CALL') return stop()
      if (tag === 'COMMIT') {
        if (dropsAnswer) return line.cut()
        if (isAt('commit-done')) return stop()
        hasCommitted = true
      }
      if (!line.client.destroyed) line.client.write(bytes)
      if (type === 'Z') {
        if (hasCommitted && isAt('answered')) return stop()
        storing = null
      }
    }, false)
    return { fromClient, fromServer }
  })
  return Object.assign(proxy, {
    fates,
    releaseHeld() {
      for (const release of held) release()
      held.clear()
    },
    stopAt(place: Place, kill: () => void) {
      return new Promise<Stopped>((resolve) => {
        trap = { place, kill, resolve }
      })
    },
  })
}
