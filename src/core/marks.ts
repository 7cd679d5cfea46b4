/**
 * How far each room is with one partition, as next offsets, and the law between them:
 *
 *   settled <= published <= persisted <= decoded <= consumed
 *
 * Each mark only ever grows. Asserted once per batch; a breach is a bug and crashes with both sides in the message.
 */
import { assert } from './errors.ts'

export const rooms = ['consume', 'decode', 'persist', 'publish', 'settle'] as const
export type Room = (typeof rooms)[number]

export const byRoom = <T>(of: (room: Room) => T): Record<Room, T> =>
  Object.fromEntries(rooms.map((room) => [room, of(room)])) as Record<Room, T>

export class Marks {
  readonly partition: number
  readonly #next: Record<Room, number>

  /**
   * All rooms stand where the partition starts; what comes by again passes each room a second time. Only where publishing is put off, publish and
   * settle stand further back.
   */
  constructor(partition: number, nextOffset: number, publishedOffset = nextOffset) {
    this.partition = partition
    this.#next = {
      consume: nextOffset,
      decode: nextOffset,
      persist: nextOffset,
      publish: publishedOffset,
      settle: publishedOffset,
    }
  }

  get(room: Room): number {
    return this.#next[room]
  }

  all(): Readonly<Record<Room, number>> {
    return { ...this.#next }
  }

  /** Moves one room on. It may not go back, nor overtake the room before it. */
  advance(room: Room, nextOffset: number): void {
    const here = this.#next[room]
    assert(nextOffset >= here, () => `partition ${this.partition}: ${room} would go back from ${here} to ${nextOffset}`)
    const index = rooms.indexOf(room)
    if (index > 0) {
      const before = rooms[index - 1] as Room
      const limit = this.#next[before]
      assert(
        nextOffset <= limit,
        () => `partition ${this.partition}: ${room} at ${nextOffset} would overtake ${before} at ${limit}`,
      )
    }
    this.#next[room] = nextOffset
  }
}
