/** settle/: the group's offsets in Kafka. A mirror for lag tools, autoscalers and people, never the truth: losing one costs nothing. */
export interface Settle {
  commit(nextOffsets: ReadonlyMap<number, number>): Promise<void>
}
