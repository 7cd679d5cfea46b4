/**
 * Something that comes in chunks, looked at one item at a time without a promise per item: whoever reads asks `ready()` where `empty`, and then
 * takes from memory. The next chunk is asked for while this one is worked on.
 */

export interface Feed<T> {
  /** The next item, or undefined at the end. Only to be trusted when not `empty`. */
  head(): T | undefined
  take(): void
  /** No item at hand, and the end is not known yet: await ready(). */
  readonly empty: boolean
  ready(): Promise<void>
}

/**
 * `next` answers the next chunk, or null at the end; an empty chunk only means: ask again. It is never called twice at a time. `ahead` false: this
 * chunk is large enough, the next one is asked for when it is done.
 */
export function createFeed<T>(
  next: () => Promise<readonly T[] | null>,
  ahead: (chunk: readonly T[]) => boolean = () => true,
): Feed<T> {
  let items: readonly T[] = []
  let at = 0
  let ended = false
  let coming: Promise<readonly T[] | null> | null = null

  function ask(): Promise<readonly T[] | null> {
    const asked = next()
    // It may fail while nobody waits for it yet; whoever takes it up is told.
    asked.catch(() => {})
    return asked
  }

  return {
    head: () => items[at],
    take() {
      at++
      // Nobody needs what lies behind.
      if (at >= items.length) {
        items = []
        at = 0
      }
    },
    get empty() {
      return !ended && at >= items.length
    },
    async ready() {
      while (!ended && at >= items.length) {
        const chunk = await (coming ?? ask())
        coming = null
        if (chunk === null) ended = true
        else if (ahead(chunk)) coming = ask()
        items = chunk ?? []
        at = 0
      }
    },
  }
}
