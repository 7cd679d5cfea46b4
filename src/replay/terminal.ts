/** The streams of a process, as a replay wants them: output that says when it takes more, and a keyboard that hands over each key at once. */
import type { Keyboard } from './keyboard.ts'
import type { LineOutput } from './stdout-target.ts'

export function slowOutput(stream: NodeJS.WritableStream): LineOutput {
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        // `| head` has seen enough.
        stream.once('error', reject)
        stream.write(bytes, (error) => {
          stream.off('error', reject)
          if (error) reject(error)
          else resolve()
        })
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
        for (const key of String(text)) listener(key)
      })
    },
    close() {
      stdin.setRawMode(false)
      stdin.pause()
    },
  }
}
