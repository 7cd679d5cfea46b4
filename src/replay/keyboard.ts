/** Keys that steer a replay while it runs on a terminal. */
import type { Replay } from './port.ts'

/** Of a terminal that hands over each key at once. */
export interface Keyboard {
  onKey(listener: (key: string) => void): void
  close(): void
}

const minuteMs = 60_000

/** Answers what to tell the person, where the key could not do what it stands for. */
export function pressKey(replay: Replay, key: string): string | null {
  const { speed, state, atMs } = replay.snapshot()
  const factor = typeof speed === 'number' ? speed : 1
  switch (key) {
    case ' ':
      if (state === 'paused') replay.resume()
      else replay.pause()
      return null
    case '+':
    case '=':
      if (speed !== 'max') replay.setSpeed(factor * 2)
      return null
    case '-':
      replay.setSpeed(speed === 'max' ? 1000 : factor / 2)
      return null
    case '1':
      replay.setSpeed(1)
      return null
    case 'm':
      replay.setSpeed('max')
      return null
    case 's':
      replay.step()
      return null
    case '>':
    case '<':
      if (atMs === null) return 'nothing was replayed yet: there is nowhere to jump from'
      replay.jump(key === '>' ? atMs + minuteMs : Math.max(0, atMs - minuteMs))
      return null
    case 'q':
    case '\x03':
      replay.stop()
      return null
    default:
      return null
  }
}
