/**
 * Which records of a fetch count: neither control records nor those of aborted transactions. The broker names each aborted transaction by its producer and
 * first offset, in the order in which they ended, and that is not the order in which they began.
 *
 * kafkajs's own filter takes them for ordered by their beginnings, takes one off the list per record, and any record with a key of four zero bytes for
 * an end mark: each of these lets aborted records through, and the proof would call them lost.
 */

export interface AbortedTransaction {
  readonly producerId: string
  readonly firstOffset: string
}

/** A record as kafkajs decodes it. */
export interface FetchedRecord {
  readonly offset: string
  readonly isControlRecord: boolean
  readonly batchContext: { readonly producerId: string; readonly inTransaction: boolean }
}

export function committedOnly<T extends FetchedRecord>(records: readonly T[], aborted: readonly AbortedTransaction[]) {
  const starting = aborted
    .map(({ producerId, firstOffset }) => ({ producerId, firstOffset: Number(firstOffset) }))
    .sort((a, b) => b.firstOffset - a.firstOffset)
  /** Producers inside a transaction that will be aborted. */
  const dead = new Set<string>()
  return records.filter(({ offset, isControlRecord, batchContext: { producerId, inTransaction } }) => {
    while ((starting.at(-1)?.firstOffset ?? Number.POSITIVE_INFINITY) <= Number(offset))
      dead.add((starting.pop() as (typeof starting)[number]).producerId)
    if (isControlRecord) dead.delete(producerId)
    return !isControlRecord && !(inTransaction && dead.has(producerId))
  })
}
