/** What the proof takes for committed, of logs that several transactional producers and a plain one wrote into, ended in any order, read from anywhere. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { committedOnly, type FetchedRecord } from '../../src/records/aborted.ts'

type Step = { readonly producer: number; readonly does: 'send' | 'commit' | 'abort' }
interface Written extends FetchedRecord {
  readonly key: Buffer | null
  committed: boolean
}

/** The log that these steps make; what is open at the end is aborted. */
function write(steps: readonly Step[]) {
  const log: Written[] = []
  const aborted: { producerId: string; firstOffset: string; lastOffset: number }[] = []
  const open = new Map<number, Written[]>()
  const append = (producer: number, isControlRecord: boolean) => {
    const batchContext = { producerId: String(producer), inTransaction: producer > 0 }
    const one = {
      offset: String(log.length),
      isControlRecord,
      batchContext,
      // As the mark of an abort has it.
      key: Buffer.alloc(4),
      committed: false,
    }
    log.push(one)
    return one
  }
  const end = (producer: number, commits: boolean) => {
    const sent = open.get(producer)
    if (sent === undefined) return
    open.delete(producer)
    for (const one of sent) one.committed = commits
    const { offset } = append(producer, true)
    const [first] = sent as [Written]
    if (!commits) aborted.push({ producerId: String(producer), firstOffset: first.offset, lastOffset: Number(offset) })
  }
  for (const { producer, does } of steps) {
    if (does !== 'send') end(producer, does === 'commit')
    else if (producer === 0) append(0, false).committed = true
    else open.set(producer, [...(open.get(producer) ?? []), append(producer, false)])
  }
  for (const producer of [...open.keys()]) end(producer, false)
  return { log, aborted }
}

test('from wherever it is read: what was committed, and nothing else', () => {
  const step = fc.record({
    producer: fc.nat(4),
    does: fc.constantFrom('send', 'send', 'send', 'commit', 'abort'),
  }) as fc.Arbitrary<Step>
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.nat(70), (steps, from) => {
      const { log, aborted } = write(steps)
      const read = log.slice(from)
      // The broker names what ended at or behind the place that is read from.
      const named = aborted.filter(({ lastOffset }) => lastOffset >= from)
      assert.deepEqual(
        committedOnly(read, named),
        read.filter(({ committed }) => committed),
      )
    }),
    { numRuns: 2000 },
  )
})
