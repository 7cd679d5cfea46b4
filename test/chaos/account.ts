/**
 * What was sent, event by event: acknowledged, or given up without an answer (written or not, nobody knows). Good events and their duplicates go by
 * source and id; bad records, whose id may be what is bad, by partition, time and key.
 */
import type { SimulatedRecord } from '../../src/simulate/events.ts'

/** One request's records, in columns: small enough to be sent between threads hundreds of times a second. */
export interface Answer {
  readonly acknowledged: boolean
  /** e, d or p for each record: an event, a duplicate of one, a bad record. */
  readonly kinds: string
  readonly sources: readonly string[]
  /** Of a bad record: its key. */
  readonly ids: readonly string[]
  readonly partitions: readonly number[]
  readonly timesMs: readonly number[]
}

export function answerOf(records: readonly SimulatedRecord[], acknowledged: boolean): Answer {
  return {
    acknowledged,
    kinds: records.map(({ kind }) => kind[0]).join(''),
    sources: records.map(({ source }) => source),
    ids: records.map(({ kind, id, key }) => (kind === 'poison' ? key : id)),
    partitions: records.map(({ partition }) => partition),
    timesMs: records.map(({ timestampMs }) => timestampMs),
  }
}

export interface Account {
  readonly answers: readonly Answer[]
  /** Records, of acknowledged requests and of all. */
  readonly acknowledged: number
  readonly sent: number
  add(answer: Answer): void
  /** For a scenario that produces by itself: one event, by source and id. */
  addEvent(event: { source: string; id: string; partition: number; timeMs: number }, acknowledged: boolean): void
}

export function openAccount(): Account {
  const answers: Answer[] = []
  let acknowledged = 0
  let sent = 0
  const account: Account = {
    answers,
    get acknowledged() {
      return acknowledged
    },
    get sent() {
      return sent
    },
    add(answer) {
      answers.push(answer)
      sent += answer.kinds.length
      if (answer.acknowledged) acknowledged += answer.kinds.length
    },
    addEvent({ source, id, partition, timeMs }, isAcknowledged) {
      const one = { sources: [source], ids: [id], partitions: [partition], timesMs: [timeMs] }
      account.add({ acknowledged: isAcknowledged, kinds: 'e', ...one })
    },
  }
  return account
}
