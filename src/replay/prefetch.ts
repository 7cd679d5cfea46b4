/** The next batch is asked for while this one is worked on: source and target work at the same time, and at most one batch waits. */

export interface Prefetched<T> {
  /** Null: the end. */
  next(): Promise<T | null>
  /** Lets go of the source, also where it has not come to its end. */
  close(): Promise<void>
}

export function prefetched<T>(source: AsyncGenerator<T, void, undefined>): Prefetched<T> {
  let coming: Promise<IteratorResult<T, void>> | null = null
  const ask = () => {
    const asked = source.next()
    // It may fail while nobody waits for it yet; whoever takes it up is told.
    asked.catch(() => {})
    return asked
  }
  return {
    async next() {
      const { done, value } = await (coming ?? ask())
      coming = null
      if (done === true) return null
      coming = ask()
      return value
    },
    async close() {
      await source.return()
      await coming?.catch(() => {})
    },
  }
}
