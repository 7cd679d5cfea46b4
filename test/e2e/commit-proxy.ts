/**
 * A proxy to PostgreSQL that knows where a transaction's fate is decided, and can lose the line exactly there:
 *
 *   before   what would commit never reaches the server: not stored, and the client does not know
 *   during   it reaches the server, and the client is cut off while the server commits
 *   answer   the server has committed, and its answer is dropped
 *   hold     what would commit waits at the proxy until release(): the transaction stays open with its locks
 *
 * What commits is the last CopyDone of `BEGIN; ...; COPY ...; COMMIT` in one message, or the message that ends in COMMIT where no COPY follows it.
 */
import { startProxy, type TcpProxy } from './proxy.ts'

export type Fate = 'pass' | 'before' | 'during' | 'answer' | 'hold'

export interface CommitProxy extends TcpProxy {
  /** How often each fate came to pass. */
  readonly fates: Readonly<Record<Fate, number>>
  /** Lets what was held go on. */
  releaseHeld(): void
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

/** `decide` is asked once per transaction, when its fate is at hand. */
export async function startCommitProxy(target: string, decide: () => Fate): Promise<CommitProxy> {
  const fates = { pass: 0, before: 0, during: 0, answer: 0, hold: 0 }
  const held = new Set<() => void>()
  const proxy = await startProxy(target, (line) => {
    let copiesToCome = 0
    let commits = false
    let dropsAnswer = false
    let isHeld = false
    const waiting: Buffer[] = []
    const pass = (bytes: Buffer) => {
      if (isHeld) waiting.push(bytes)
      else line.server.write(bytes)
    }

    function decided({ bytes }: Frame): void {
      commits = false
      const fate = decide()
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
      if (frame.type === 'Q') {
        const text = frame.body.toString('utf8', 0, frame.body.length - 1)
        commits = /;\s*COMMIT\s*$/.test(text)
        copiesToCome = commits ? (text.match(/;COPY /g)?.length ?? 0) : 0
        if (commits && copiesToCome === 0) return decided(frame)
      }
      if (frame.type === 'c' && commits && --copiesToCome === 0) return decided(frame)
      pass(frame.bytes)
    }, true)
    const fromServer = framer(({ type, body, bytes }) => {
      // The transaction failed: it has no fate any more.
      if (type === 'E') commits = false
      if (dropsAnswer && type === 'C' && body.toString('latin1', 0, 6) === 'COMMIT') return line.cut()
      if (!line.client.destroyed) line.client.write(bytes)
    }, false)
    return { fromClient, fromServer }
  })
  return Object.assign(proxy, {
    fates,
    releaseHeld() {
      for (const release of held) release()
      held.clear()
    },
  })
}
