/** Names of streams: `<family>:{<partition>}`. The braces put all families of a partition into one cluster slot. */

export function streamKey(family: string, partition: number): string {
  return `${family}:{${partition}}`
}

/** An entry's id is its Kafka offset + 1 (an id of 0-0 is not allowed). */
export function entryId(offset: number): string {
  return `${offset + 1}-0`
}
