/** Whatever comes, at most one limit's worth of rejects is admitted; what a healthy deployment sends is never stopped. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FatalError } from '../../src/core/errors.ts'
import { createRejectLimit, type RejectLimitOptions, type RejectLimits } from '../../src/core/reject-limit.ts'

const off: RejectLimits = { percentMax: 0, windowMs: 60_000, windowRecordsMin: 1000, runMax: 0 }
const limitOf = (limits: Partial<RejectLimitOptions>) =>
  createRejectLimit({ consumer: 'cloud-events', topic: 'events', ...off, ...limits })

interface Part {
  readonly partition: number
  readonly good: number
  readonly bad: number
  readonly redriven?: number
}

/** Batches whose parts follow each other without a gap, each partition from offset 0. */
function batches() {
  const ends = new Map<number, number>()
  return (...parts: Part[]) => {
    const slices = parts.map(({ partition, good, bad, redriven = 0 }) => {
      const firstOffset = ends.get(partition) ?? 0
      const nextOffset = firstOffset + good + bad
      ends.set(partition, nextOffset)
      const records = good + bad
      return { partition, firstOffset, nextOffset, records, rows: good, rejects: bad, redriven, skips: 0 }
    })
    const count = parts.reduce((sum, { bad }) => sum + bad, 0)
    return { again: false, slices, rejects: { count, bytes: new Uint8Array(), codes: { not_json: count } } }
  }
}

function refused(judge: () => void): FatalError | null {
  try {
    judge()
    return null
  } catch (error) {
    assert(error instanceof FatalError)
    assert.equal(error.code, 'REJECT_LIMIT')
    return error
  }
}

const part = fc.record({ partition: fc.nat(3), good: fc.nat(40), bad: fc.nat(40) })
const flowOf = (one: fc.Arbitrary<Part>) =>
  fc.array(
    fc.record({ parts: fc.uniqueArray(one, { selector: (p) => p.partition, minLength: 1 }), waitMs: fc.nat(9000) }),
    {
      maxLength: 60,
    },
  )

test('what is admitted never breaks the limits, by counting everything anew', () => {
  const limits = fc.record({
    percentMax: fc.integer({ min: 1, max: 100 }),
    windowMs: fc.constant(60_000),
    windowRecordsMin: fc.integer({ min: 1, max: 300 }),
    runMax: fc.integer({ min: 1, max: 100 }),
  })
  let stopped = 0
  fc.assert(
    fc.property(limits, flowOf(part), (given, flow) => {
      const judge = limitOf(given)
      const make = batches()
      const admitted: { atMs: number; parts: readonly Part[] }[] = []
      const runs = new Map<number, number>()
      let nowMs = 0
      for (const { parts, waitMs } of flow) {
        nowMs += waitMs
        const refusal = refused(() => judge(make(...parts), nowMs))
        for (const { partition, good, bad } of parts) {
          runs.set(partition, good > 0 ? 0 : (runs.get(partition) ?? 0) + bad)
        }
        const tooLong = Math.max(...runs.values()) >= given.runMax
        // A bucket of the window leaves with its oldest batch: a sixtieth of the window is forgotten early, never late.
        const within = [...admitted, { atMs: nowMs, parts }].flatMap((one) =>
          one.atMs > nowMs - 59_000 ? one.parts : [],
        )
        const all = [...admitted, { atMs: nowMs, parts }].flatMap((one) => (one.atMs > nowMs - 60_000 ? one.parts : []))
        const over = (which: readonly Part[]) => {
          const bad = which.reduce((sum, one) => sum + one.bad, 0)
          const records = which.reduce((sum, one) => sum + one.bad + one.good, 0)
          return records >= given.windowRecordsMin && bad * 100 > records * given.percentMax
        }
        if (refusal === null) {
          assert(!tooLong)
          assert(!(over(within) && over(all)))
          admitted.push({ atMs: nowMs, parts })
          continue
        }
        stopped++
        assert(tooLong || over(within) || over(all) || within.length !== all.length)
        assert.equal(
          refused(() => judge(make({ partition: 9, good: 1000, bad: 0 }), nowMs)),
          refusal,
          'nothing passes any more',
        )
        return
      }
    }),
  )
  assert(stopped > 10)
})

test('nothing but garbage: less than a limit gets in, however it is cut into batches', () => {
  const garbage = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 20, maxLength: 20 })
  fc.assert(
    fc.property(garbage, fc.boolean(), (sizes, slowly) => {
      const judge = limitOf({ percentMax: 10, runMax: 1000 })
      const make = batches()
      let admitted = 0
      for (const [n, bad] of [...sizes, 1000].entries()) {
        if (refused(() => judge(make({ partition: 0, good: 0, bad }), slowly ? n * 61_000 : n)) !== null) break
        admitted += bad
      }
      assert(admitted < 1000)
    }),
  )
})

test('one bad in a thousand, for an hour: never stopped', () => {
  const judge = limitOf({ percentMax: 10, runMax: 1000 })
  const make = batches()
  for (let second = 0; second < 3600; second++) {
    for (let partition = 0; partition < 5; partition++) {
      judge(
        make(
          { partition, good: 1332, bad: 1 },
          { partition: 5 + partition, good: 0, bad: second % 1000 === 0 ? 1 : 0 },
        ),
        second * 1000,
      )
    }
  }
})

test('a partition gone bad among good ones is met by its run; a good record, or reading on from elsewhere, begins it anew', () => {
  const judge = limitOf({ percentMax: 10, runMax: 100 })
  const make = batches()
  const healthy = { partition: 1, good: 5000, bad: 0 }
  for (let n = 0; n < 5; n++) {
    judge(make({ partition: 0, good: 0, bad: 99 }, healthy), n)
    judge(make({ partition: 0, good: 1, bad: 50 }, healthy), n)
  }
  judge(make({ partition: 0, good: 0, bad: 99 }), 9)
  const elsewhere = batches()
  judge(elsewhere({ partition: 0, good: 0, bad: 99 }), 9)
  const error = refused(() => judge(elsewhere({ partition: 0, good: 0, bad: 1 }, healthy), 9))
  assert.match(
    error?.message ?? '',
    /^100 records in a row of partition 0 are bad, and rejectRunMax is 100\. .*'not_json'/,
  )
  assert.match(error?.message ?? '', /partition 0 of events, offsets 99 to 99 with 1 bad ones/)
  assert.match(error?.remedy ?? '', /millrace rejects list --consumer cloud-events --by code/)
})

test('a run goes on where the process before has left it, and only there', () => {
  const judge = limitOf({
    runMax: 100,
    runs: [
      { partition: 0, nextOffset: 0, length: 99 },
      { partition: 1, nextOffset: 5, length: 99 },
    ],
  })
  const make = batches()
  judge(make({ partition: 1, good: 0, bad: 50 }), 0)
  assert.match(
    refused(() => judge(make({ partition: 0, good: 0, bad: 1 }), 0))?.message ?? '',
    /^100 records in a row of partition 0/,
  )
})

test('a run that was left beyond the limit stops nobody before the next bad record', () => {
  const judge = limitOf({ runMax: 100, runs: [{ partition: 0, nextOffset: 0, length: 100 }] })
  const make = batches()
  const none = make({ partition: 0, good: 0, bad: 0 })
  const gap = { ...none, slices: none.slices.map((slice) => ({ ...slice, records: 0, nextOffset: 3, skips: 0 })) }
  assert.equal(
    refused(() => judge(gap, 0)),
    null,
    'what aborted transactions have left',
  )
  assert.equal(
    refused(() => judge(make({ partition: 1, good: 1, bad: 0 }), 0)),
    null,
  )
})

test('what was redriven, comes by again or is not limited is not counted', () => {
  const make = batches()
  const judge = limitOf({ percentMax: 10, windowRecordsMin: 10, runMax: 100 })
  for (let n = 0; n < 10; n++) judge(make({ partition: 0, good: 0, bad: 90, redriven: 90 }), n)
  for (let n = 0; n < 10; n++) judge({ ...make({ partition: 0, good: 0, bad: 90 }), again: true }, n)
  const unlimited = limitOf({})
  for (let n = 0; n < 10; n++) unlimited(make({ partition: 0, good: 0, bad: 9000 }), n)
  assert.notEqual(
    refused(() => judge(make({ partition: 0, good: 0, bad: 90 }), 20)),
    null,
  )
})
