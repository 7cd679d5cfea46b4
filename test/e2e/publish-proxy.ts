/**
 * A proxy to Redis that knows the function call by which entries are added, and stops it at a named place for good, the moment it gets there, so that
 * the client can be killed exactly then:
 *
 *   call-unsent   nothing of the call has reached the server
 *   call-torn     the first half of what came with it has
 *   call-done     the server has answered; the answer is not delivered
 *   call-told     the answer was delivered just now
 *
 * It looks at bytes, not at RESP's structure: a client writes the head of a call in one piece.
 */
import { startProxy, type TcpProxy } from './proxy.ts'

export const publishPlaces = ['call-unsent', 'call-torn', 'call-done', 'call-told'] as const
export type PublishPlace = (typeof publishPlaces)[number]

export interface StoppedCall {
  /** The first stream of the call, and the last id that the call would leave there first. */
  readonly key: string
  readonly id: string
  readonly over: Promise<void>
}

export interface PublishProxy extends TcpProxy {
  /** The next call that gets to the place goes no further, and `kill` is called in that very moment. */
  stopAt(place: PublishPlace, kill: () => void): Promise<StoppedCall>
}

/** FCALL of ours with at least one key: what asks whether the server takes writes has none. */
const head = /\$5\r\nfcall\r\n\$\d+\r\nmillrace\w*\r\n\$\d+\r\n([1-9]\d*)\r\n/i

export async function startPublishProxy(target: string): Promise<PublishProxy> {
  let trap: { place: PublishPlace; kill: () => void; resolve: (stopped: StoppedCall) => void } | null = null
  const proxy = await startProxy(target, (line) => {
    let isStopped = false
    /** The call whose answer is awaited. */
    let called: { key: string; id: string } | null = null
    const over = new Promise<void>((resolve) => line.server.once('close', () => resolve()))
    const stop = (call: { key: string; id: string }) => {
      isStopped = true
      if (trap === null) return
      const { kill, resolve } = trap
      trap = null
      kill()
      resolve({ ...call, over })
    }
    return {
      fromClient(bytes) {
        if (isStopped) return
        const call = trap === null ? null : firstCall(bytes)
        if (call !== null && trap?.place === 'call-unsent') return stop(call)
        if (call !== null && trap?.place === 'call-torn') {
          line.server.write(bytes.subarray(0, bytes.length >> 1))
          return stop(call)
        }
        called = call
        line.server.write(bytes)
      },
      fromServer(bytes) {
        if (isStopped) return
        if (called !== null && trap?.place === 'call-done') return stop(called)
        line.client.write(bytes)
        if (called !== null && trap?.place === 'call-told') stop(called)
      },
    }
  })
  return Object.assign(proxy, {
    stopAt(place: PublishPlace, kill: () => void) {
      return new Promise<StoppedCall>((resolve) => {
        trap = { place, kill, resolve }
      })
    },
  })
}

/** FCALL name keys... lengthMax, and for each key: what it must hold, how many, (id, entry)... */
function firstCall(bytes: Buffer): { key: string; id: string } | null {
  const found = head.exec(bytes.toString('latin1'))
  if (found === null) return null
  let at = found.index + found[0].length
  const argument = () => {
    const end = bytes.indexOf('\r\n', at)
    const length = Number(bytes.toString('latin1', at + 1, end))
    at = end + 2 + length + 2
    return bytes.toString('utf8', end + 2, end + 2 + length)
  }
  const keys = Array.from({ length: Number(found[1]) }, argument)
  const [_lengthMax, _expected, _count, id] = [argument(), argument(), argument(), argument()]
  return { key: keys[0] as string, id: id as string }
}
