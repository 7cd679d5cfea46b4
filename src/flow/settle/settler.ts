/** settle/'s pace: at most one commit under way and one per interval, each carrying all that has been published since. A failed one is simply late. */
import type { Sleep } from '../../core/backoff.ts'
import type { PartitionState } from '../lane.ts'
import type { Settle } from './port.ts'

export interface Settler {
  /** This partition's published mark has moved. */
  note(state: PartitionState): void
  /** Commits what is outstanding now; for the end of a drain. */
  flush(): Promise<void>
  stop(): void
}

export function openSettler(
  settle: Settle,
  pace: { readonly intervalMs: number; readonly sleep: Sleep },
  on: { committed(records: number): void; failed(error: unknown): void },
): Settler {
  const outstanding = new Set<PartitionState>()
  const stopping = new AbortController()
  let committing: Promise<void> | null = null
  let scheduled = false

  async function commit(): Promise<void> {
    const states = [...outstanding].filter((state) => !state.revoked)
    outstanding.clear()
    if (states.length === 0) return
    const targets = states.map((state) => state.marks.get('publish'))
    try {
      await settle.commit(new Map(states.map((state, index) => [state.partition, targets[index] as number])))
      let records = 0
      states.forEach((state, index) => {
        const target = targets[index] as number
        records += target - state.marks.get('settle')
        state.marks.advance('settle', target)
      })
      on.committed(records)
    } catch (error) {
      for (const state of states) outstanding.add(state)
      on.failed(error)
    }
  }

  async function later(): Promise<void> {
    await pace.sleep(pace.intervalMs, stopping.signal).catch(() => {})
    scheduled = false
    if (stopping.signal.aborted) return
    committing = commit()
    await committing
    committing = null
    if (outstanding.size > 0) schedule()
  }

  function schedule(): void {
    if (scheduled || stopping.signal.aborted) return
    scheduled = true
    void later()
  }

  return {
    note(state) {
      outstanding.add(state)
      schedule()
    },
    async flush() {
      await committing
      await commit()
    },
    stop() {
      stopping.abort()
    },
  }
}
