/** What only PostgreSQL can say of an event that Kafka has: whether the condition on data holds, and whether the event is stored already. */

export interface Judged {
  /** JSON text; null where the event has none. */
  readonly data: string | null
  /** The key of its row. */
  readonly id: string
}

/** True, by position: it belongs to the replay. */
export type Judge = (events: readonly Judged[]) => Promise<readonly boolean[]>
