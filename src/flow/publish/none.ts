/** publish/ where nothing is published: the consumer file has no route, or MILLRACE_REDIS=off. Every batch passes. */
import type { Publish } from './port.ts'

export const publishNothing: Publish = {
  async last(streams) {
    return streams.map(() => 0)
  },
  async publish() {
    return 0
  },
  async probe() {},
  async close() {},
}
