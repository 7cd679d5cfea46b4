/** The streams of a process, as a replay wants them: output that says when it takes more, and a keyboard that hands over each key at once. */
import { keysOf } from '../core/terminal-keys.ts'
import type { Keyboard } from './keyboard.ts'
import type { LineOutput } from './stdout-target.ts'

export function slowOutput(stream: NodeJS.WritableStream): LineOutput {
  // `| head` has seen enough: the write that fails says so, and the event behind it must find somebody.
  stream.on('error', () => {})
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        stream.write(bytes, (error) => (error ? reject(error) : resolve()))
      }),
  }
}

/** Null where nobody sits in front of it. */
export function keyboardOf(stdin: NodeJS.ReadStream): Keyboard | null {
  if (!stdin.isTTY) return null
  return {
    onKey(listener) {
      stdin.setRawMode(true)
      stdin.setEncoding('utf8')
      stdin.on('data', (text) => {
        for (const key of keysOf(String(text))) listener(key)
      })
    },
    close() {
      stdin.setRawMode(false)
      stdin.pause()
    },
  }
}
