/** What persist/ promises, whatever stores: run on memory and on PostgreSQL. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Condemned, type Decoded, packChunks } from '../../src/core/batch.ts'
import { dayOf } from '../../src/core/day.ts'
import { LostError, RefusedError, TransientError } from '../../src/core/errors.ts'
import type { Persist, PersistLane, Published } from '../../src/flow/persist/port.ts'
import { batchOf, type ChunkSpec, chunkOf, dayMs, decode, type EventSpec, nowMs, record } from '../flow/batches.ts'

/** Where the line is lost: before COMMIT reaches the server, while the server commits, or when its answer is on the way. */
export type Fate = 'before' | 'during' | 'answer'

export interface StoredLedgerRow {
  readonly nextOffset: number
  readonly publishedOffset: number | null
  readonly streams: Readonly<Record<string, number>>
  /** stored, rejected, duplicated, skipped */
  readonly counts: readonly [number, number, number, number]
}

export interface PersistWorld {
  /** One more process on the same, at first empty, database. `fates`: one per COMMIT of its lanes, until there are no more. */
  open(fates?: Fate[]): Persist
  /** `partition/offset event-id` of every row, in that order. */
  rows(): Promise<string[]>
  /** `partition/offset code` of every reject, in that order. */
  rejects(): Promise<string[]>
  ledger(): Promise<Record<number, StoredLedgerRow>>
  days(): Promise<number[]>
  /** The ledger of a partition, as an operator sets it. */
  setLedger(partition: number, nextOffset: number): Promise<void>
}

/** One byte of the id becomes NUL in the COPY, as if a decoder had let it through. */
function spoil(batch: Decoded): Decoded {
  for (const { bytes } of batch.copies) {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const signature = Buffer.from('SPOILT')
    for (let at = view.indexOf(signature); at >= 0; at = view.indexOf(signature, at + 1)) view[at] = 0
  }
  return batch
}

const never = new AbortController().signal
const nothing: Published = { publishedOffset: null, streams: null }
const quietly = (batch: Decoded) => batch.slices.map(() => nothing)
const store = (lane: PersistLane, ...chunks: readonly ChunkSpec[]) => storeBatch(lane, batchOf(...chunks))
const answer = (lane: PersistLane, batch: Decoded) => lane.persist(batch, quietly(batch), never)
const storeBatch = async (lane: PersistLane, batch: Decoded) => (await answer(lane, batch)).foreign
const fenced = (error: unknown) => error instanceof LostError && error.code === 'FENCED'
const indexes = (foreign: Awaited<ReturnType<typeof storeBatch>>) => [...(foreign ?? [])]

/** Records that hold these events, from an offset on. */
const events = (from: number, ...ids: (string | EventSpec)[]) =>
  ids.map((id, n) => record(from + n, typeof id === 'string' ? { id } : id))

/** A batch again as it must be given again: a pipeline keeps the decoded one, whose buffers are whole. */
async function stubbornly(
  lane: PersistLane,
  batch: Decoded,
): Promise<{ foreign: number[]; known: number[]; certain: boolean; failures: number }> {
  for (let failures = 0; ; failures++) {
    try {
      const { foreign, known, certain } = await answer(lane, batch)
      return { foreign: indexes(foreign), known: indexes(known), certain, failures }
    } catch (error) {
      if (!(error instanceof TransientError) || failures === 10) throw error
    }
  }
}

export function persistContract(name: string, empty: () => Promise<PersistWorld>): void {
  describe(`persist/ in ${name}`, () => {
    async function world(partitions: readonly number[] = [0, 1, 2], fates: Fate[] = []) {
      const all = await empty()
      const persist = all.open(fates)
      await persist.marks(partitions, () => 0)
      return { ...all, persist, lane: persist.lane(0) }
    }

    test('marks: a partition never seen begins where it is told, one that was seen where it is', async () => {
      const { open } = await empty()
      const first = open()
      const made = await first.marks([4, 2], (partition) => partition * 10)
      for (const { partition, ...row } of made) {
        assert.deepEqual([row.startOffset, row.nextOffset, row.publishedOffset], [partition * 10, partition * 10, null])
        assert.equal(row.streams.size, 0)
      }
      assert.deepEqual(made.map(({ partition }) => partition).sort(), [2, 4])
      await store(first.lane(0), { partition: 4, records: events(40, 'a') })
      const [row] = await open().marks([4], () => 999)
      assert.deepEqual([row?.startOffset, row?.nextOffset], [40, 41])
    })

    test('a batch: its rows, its rejects, its counts and its ledger rows, and what was published meanwhile', async () => {
      const { lane, rows, rejects, ledger } = await world()
      const batch = batchOf(
        { partition: 1, records: [...events(0, 'a', 'b'), record(2, 'bad'), ...events(5, 'c')], nextOffset: 9 },
        { partition: 0, records: [record(0, '[]')] },
      )
      const published = [
        { publishedOffset: 0, streams: null },
        { publishedOffset: 0, streams: { 'events:cloud': 7, 'o\'dd \\ "one"': 3 } },
      ]
      assert.equal((await lane.persist(batch, published, never)).foreign, null)
      assert.deepEqual(await rows(), ['1/0 a', '1/1 b', '1/5 c'])
      assert.deepEqual(await rejects(), ['0/0 not_an_object', '1/2 not_json'])
      const all = await ledger()
      assert.deepEqual(all[0], { nextOffset: 1, publishedOffset: 0, streams: {}, counts: [0, 1, 0, 0] })
      assert.deepEqual(all[1], {
        nextOffset: 9,
        publishedOffset: 0,
        streams: published[1]?.streams,
        counts: [3, 1, 0, 0],
      })
      assert.deepEqual(all[2], { nextOffset: 0, publishedOffset: null, streams: {}, counts: [0, 0, 0, 0] })
    })

    test('the next batch goes on; marks of publishing only grow, families add up', async () => {
      const { lane, rows, ledger } = await world()
      const steps: [number, Published][] = [
        [0, { publishedOffset: null, streams: null }],
        [1, { publishedOffset: 1, streams: { a: 1 } }],
        [2, { publishedOffset: 0, streams: { b: 2 } }],
        [3, { publishedOffset: 3, streams: { a: 3 } }],
      ]
      for (const [offset, published] of steps) {
        await lane.persist(batchOf({ partition: 0, records: events(offset, `e${offset}`) }), [published], never)
      }
      assert.deepEqual(await rows(), ['0/0 e0', '0/1 e1', '0/2 e2', '0/3 e3'])
      assert.deepEqual((await ledger())[0], {
        nextOffset: 4,
        publishedOffset: 3,
        streams: { a: 3, b: 2 },
        counts: [4, 0, 0, 0],
      })
    })

    test('offsets that hold no record are passed over', async () => {
      const { lane, ledger } = await world()
      await store(lane, { partition: 0, firstOffset: 0, nextOffset: 50 })
      assert.deepEqual((await ledger())[0]?.nextOffset, 50)
    })

    test('the same event twice in a batch: one row, made by the first record; the others are told', async () => {
      const { lane, rows, ledger } = await world()
      const foreign = await store(
        lane,
        { partition: 1, records: events(0, 'x', 'y', 'x') },
        { partition: 0, records: [...events(0, 'a', 'x'), record(2, 'bad')] },
      )
      // Rows of the batch by position: a, x, x, y, x.
      assert.deepEqual(indexes(foreign), [2, 4])
      assert.deepEqual(await rows(), ['0/0 a', '0/1 x', '1/1 y'])
      const all = await ledger()
      assert.deepEqual(
        [all[0]?.counts, all[1]?.counts],
        [
          [2, 1, 0, 0],
          [1, 0, 2, 0],
        ],
      )
    })

    test('an event stored before comes again: one row, counted, told; its neighbours and rejects are stored', async () => {
      const { lane, rows, rejects, ledger } = await world()
      await store(lane, { partition: 0, records: events(0, 'a', 'b') })
      const foreign = await store(lane, { partition: 1, records: [...events(0, 'c', 'b'), record(2, 'bad')] })
      assert.deepEqual(indexes(foreign), [1])
      assert.deepEqual(await rows(), ['0/0 a', '0/1 b', '1/0 c'])
      assert.deepEqual(await rejects(), ['1/2 not_json'])
      assert.deepEqual((await ledger())[1]?.counts, [1, 1, 1, 0])
    })

    test('a batch of nothing but duplicates moves on', async () => {
      const { lane, rows, ledger } = await world()
      await store(lane, { partition: 0, records: events(0, 'a', 'b') })
      assert.deepEqual(indexes(await store(lane, { partition: 0, records: events(2, 'a', 'b') })), [0, 1])
      assert.equal((await rows()).length, 2)
      assert.deepEqual((await ledger())[0], { nextOffset: 4, publishedOffset: null, streams: {}, counts: [2, 0, 2, 0] })
    })

    test('rows that the store refuses are named and nothing is stored; decoded again they are rejects, their neighbours rows', async () => {
      const { lane, rows, rejects, ledger } = await world()
      await store(lane, { partition: 2, records: events(0, 'known') })
      const old = { id: 'old', timeMs: nowMs - dayMs }
      const chunks = [
        { partition: 0, records: [...events(0, 'a', 'SPOILT-0', 'b', 'known', old), record(5, 'bad')] },
        { partition: 1, records: events(0, { id: 'SPOILT-1', timeMs: nowMs - dayMs }, 'c') },
        { partition: 2, records: events(1, 'SPOILT-2') },
      ].map(chunkOf)
      const before = await ledger()
      const batch = spoil(decode(packChunks(chunks)))
      let named: readonly Condemned[] = []
      await assert.rejects(storeBatch(lane, batch), (error: unknown) => {
        assert.ok(error instanceof RefusedError, String(error))
        named = error.records
        return true
      })
      assert.deepEqual(named.map(({ partition, offset }) => `${partition}/${offset}`).sort(), ['0/1', '1/0', '2/1'])
      assert.match(named[0]?.reason ?? '', /22021/)
      assert.deepEqual([await rows(), await rejects(), await ledger()], [['2/0 known'], [], before])

      const again = decode(packChunks(chunks, named))
      assert.deepEqual(indexes(await storeBatch(lane, again)), [2])
      assert.deepEqual(await rows(), ['0/0 a', '0/2 b', '0/4 old', '1/1 c', '2/0 known'])
      assert.deepEqual(await rejects(), ['0/1 refused', '0/5 not_json', '1/0 refused', '2/1 refused'])
      assert.deepEqual((await ledger())[0]?.counts, [3, 2, 1, 0])
    })

    test('fifty refused rows: found in more than one attempt, in the end all of them', async () => {
      const { lane, rows, rejects } = await world()
      const ids = Array.from({ length: 100 }, (_, n) => (n % 2 === 0 ? `SPOILT-${n}` : `n${n}`))
      const chunks = [chunkOf({ partition: 0, records: events(0, ...ids) })]
      let named: Condemned[] = []
      for (let attempt = 0; attempt < 10; attempt++) {
        try {
          await storeBatch(lane, spoil(decode(packChunks(chunks, named))))
          break
        } catch (error) {
          if (!(error instanceof RefusedError)) throw error
          named = [...named, ...error.records]
        }
      }
      assert.deepEqual([(await rows()).length, (await rejects()).length], [50, 50])
    })

    test('the ledger was set back: what is stored already is counted as duplicates, not doubled, and is still our own to publish', async () => {
      const { lane, rows, rejects, ledger, setLedger } = await world()
      const batch = batchOf({ partition: 0, records: [...events(0, 'a', 'b'), record(2, 'bad')] })
      await storeBatch(lane, batch)
      await setLedger(0, 1)
      const { foreign, known } = await answer(
        lane,
        batchOf({ partition: 0, records: [...events(1, 'b'), record(2, 'bad'), ...events(3, 'c')] }),
      )
      assert.equal(foreign, null)
      assert.deepEqual(indexes(known), [0], 'it is no new row')
      assert.deepEqual(await rows(), ['0/0 a', '0/1 b', '0/3 c'])
      assert.deepEqual(await rejects(), ['0/2 not_json'])
      assert.deepEqual((await ledger())[0]?.counts, [3, 1, 2, 0])
    })

    test('after a duplicate, forty ordinary batches are what they are', async () => {
      const { lane, rows, rejects, ledger } = await world()
      await store(lane, { partition: 0, records: events(0, 'a', 'a') })
      for (let n = 0; n < 40; n++) {
        const records = [...events(2 + 2 * n, `n${n}`), record(3 + 2 * n, 'bad')]
        assert.equal(await store(lane, { partition: 0, records }), null)
      }
      assert.equal((await rows()).length, 41)
      assert.equal((await rejects()).length, 40)
      assert.deepEqual((await ledger())[0]?.counts, [41, 40, 1, 0])
    })

    test('records that come by again store nothing; rows that another record made are told by their coordinates', async () => {
      const { lane, rows, ledger } = await world()
      await store(lane, { partition: 0, records: events(0, 'a', 'b', 'c') })
      await store(lane, { partition: 1, records: events(0, 'b') })
      const before = [await rows(), await ledger()]
      const again = batchOf(
        { partition: 0, records: [...events(0, 'a', 'b', 'c', 'never stored'), record(4, 'bad')], again: true },
        { partition: 1, records: events(0, 'b'), again: true },
      )
      assert.deepEqual(indexes(await storeBatch(lane, again)), [3, 4])
      assert.deepEqual([await rows(), await ledger()], before)
      const own = batchOf({ partition: 0, records: events(1, 'b'), again: true })
      assert.equal(await storeBatch(lane, own), null)
    })

    test('another process has moved on: FENCED, and nothing is left behind, not even of partitions that are still ours', async () => {
      const { open, lane, rows, rejects, ledger } = await world()
      await store(open().lane(0), { partition: 1, records: events(0, 'a') })
      const before = [await rows(), await rejects(), await ledger()]
      const zombie = batchOf(
        { partition: 0, records: [...events(0, 'x'), record(1, 'bad')] },
        { partition: 1, records: events(0, 'a', 'y') },
      )
      await assert.rejects(storeBatch(lane, zombie), fenced)
      assert.deepEqual([await rows(), await rejects(), await ledger()], before)
      // The same lane is of use afterwards.
      await store(lane, { partition: 0, records: events(0, 'x') })
      assert.deepEqual(await rows(), ['0/0 x', '1/0 a'])
    })

    test('fenced while duplicates are expected: the same', async () => {
      const { open, lane, rows, ledger } = await world()
      await store(lane, { partition: 0, records: events(0, 'a', 'a') })
      await store(open().lane(0), { partition: 1, records: events(0, 'b') })
      const before = [await rows(), await ledger()]
      await assert.rejects(store(lane, { partition: 1, records: events(0, 'c') }), fenced)
      assert.deepEqual([await rows(), await ledger()], before)
    })

    test('a ledger that stands behind, ahead, or nowhere: FENCED', async () => {
      const { lane, rows } = await world([0])
      await store(lane, { partition: 0, records: events(0, 'a', 'b') })
      for (const [partition, from] of [
        [0, 1],
        [0, 3],
        [7, 0],
      ] as const) {
        await assert.rejects(store(lane, { partition, records: events(from, 'z') }), fenced)
      }
      assert.equal((await rows()).length, 2)
    })

    test('of processes that all want to store the same, one does', async () => {
      const { open, rows, ledger } = await world()
      for (let round = 0; round < 5; round++) {
        const batch = batchOf(
          { partition: 0, records: events(round * 2, `a${round}`, `b${round}`) },
          { partition: 1, records: events(round, `c${round}`) },
        )
        const tries = await Promise.allSettled([0, 1, 2, 3].map((n) => storeBatch(open().lane(n), batch)))
        assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1)
        for (const one of tries) if (one.status === 'rejected') assert.ok(fenced(one.reason), String(one.reason))
      }
      assert.equal((await rows()).length, 15)
      assert.deepEqual((await ledger())[0]?.counts, [10, 0, 0, 0])
    })

    test('lanes at work at the same time on the same duplicates: one row each, and each but one is told', async () => {
      const { persist, rows } = await world([0, 1, 2])
      const lanes = [0, 1, 2].map((index) => persist.lane(index))
      for (let round = 0; round < 5; round++) {
        const ids = Array.from({ length: 20 }, (_, n) => `${round}-${n}`)
        const answers = await Promise.all(
          lanes.map((lane, partition) => {
            // In opposite orders, so that they meet half-way.
            const records = events(round * 20, ...(partition === 1 ? ids.toReversed() : ids))
            return stubbornly(lane, batchOf({ partition, records }))
          }),
        )
        const foreign = answers.reduce((sum, one) => sum + one.foreign.length, 0)
        assert.equal(foreign, 40)
        assert.equal((await rows()).length, (round + 1) * 20)
      }
    })

    test('a batch over many days, some without a partition: each row in its day', async () => {
      const { lane, rows, days } = await world()
      const today = dayOf(nowMs)
      const spread = [0, -3, 0, -1, -20, -3].map((day, n) => ({ id: `d${n}`, timeMs: nowMs + day * dayMs }))
      assert.equal(await store(lane, { partition: 0, records: events(0, ...spread) }), null)
      assert.equal((await rows()).length, 6)
      const made = await days()
      for (const day of [today, today - 1, today - 3, today - 20]) assert.ok(made.includes(day), String(day - today))
      // The edges of a day.
      const midnight = Math.floor(nowMs / dayMs) * dayMs
      const edges = [midnight - 1, midnight, midnight + dayMs - 1].map((timeMs) => ({ id: `e${timeMs}`, timeMs }))
      await store(lane, { partition: 0, records: events(6, ...edges) })
      assert.equal((await rows()).length, 9)
    })

    test('a missing partition and a duplicate in one batch', async () => {
      const { lane, rows } = await world()
      const old = { id: 'old', timeMs: nowMs - 9 * dayMs }
      await store(lane, { partition: 0, records: events(0, 'a') })
      assert.deepEqual(indexes(await store(lane, { partition: 0, records: events(1, 'a', old, old) })), [0, 2])
      assert.deepEqual(await rows(), ['0/0 a', '0/2 old'])
    })

    test('the line is lost, and an heir stores the very same batch: it is not taken for our own', async () => {
      const { open, rows } = await world([0])
      const batch = batchOf({ partition: 0, records: events(0, 'a', 'b') })
      const lane = open(['before']).lane(0)
      await assert.rejects(storeBatch(lane, batch))
      await storeBatch(open().lane(0), batch)
      const { foreign, certain } = await answer(lane, batch)
      assert.deepEqual([indexes(foreign), certain], [[], false])
      assert.equal((await rows()).length, 2)
    })

    for (const fate of ['before', 'during', 'answer'] as const) {
      test(`the line is lost, ${fate}: tried again, the batch is stored once and the answer is right`, async () => {
        const { lane, rows, rejects, ledger } = await world([0, 1], [fate, fate])
        const batch = batchOf(
          { partition: 0, records: [...events(0, 'a', 'b'), record(2, 'bad')] },
          { partition: 1, records: events(0, 'c') },
        )
        const first = await stubbornly(lane, batch)
        assert.deepEqual([first.foreign, first.known], [[], []])
        assert.ok(first.failures > 0)
        assert.deepEqual(await rows(), ['0/0 a', '0/1 b', '1/0 c'])
        assert.deepEqual(await rejects(), ['0/2 not_json'])
        assert.deepEqual((await ledger())[0]?.counts, [2, 1, 0, 0])
        // And it goes on behind it.
        const second = await stubbornly(lane, batchOf({ partition: 0, records: events(3, 'd') }))
        assert.deepEqual(second.foreign, [])
        assert.deepEqual((await rows()).length, 4)
      })

      test(`the line is lost, ${fate}, after the ledger was set back: what was there before is not taken for new`, async () => {
        const { open, lane, rows, setLedger } = await world([0], [fate])
        await store(open().lane(0), { partition: 0, records: events(0, 'a', 'b') })
        await setLedger(0, 1)
        const batch = batchOf({ partition: 0, records: events(1, 'b', 'c') })
        const { foreign, known, certain } = await stubbornly(lane, batch)
        assert.deepEqual(foreign, [])
        // Cut off while the server commits, a process may not have heard enough to know that it was itself.
        if (fate !== 'during') assert.ok(certain)
        if (certain) assert.deepEqual(known, [0])
        assert.deepEqual(await rows(), ['0/0 a', '0/1 b', '0/2 c'])
      })

      test(`the line is lost, ${fate}, with duplicates in the batch: they are told all the same`, async () => {
        const { open, lane, rows, ledger } = await world([0, 1], [fate])
        await store(open().lane(0), { partition: 1, records: events(0, 'b') })
        // The first attempt finds the duplicate; its COMMIT, or that of the slow path, meets its fate.
        const records = events(0, 'a', 'b', 'a')
        const { foreign, known } = await stubbornly(lane, batchOf({ partition: 0, records }))
        assert.deepEqual(foreign, [1, 2])
        assert.deepEqual(known, [1, 2])
        assert.deepEqual(await rows(), ['0/0 a', '1/0 b'])
        assert.deepEqual((await ledger())[0]?.counts, [1, 0, 2, 0])
      })
    }

    test('the answer is lost, and before the next attempt another process has moved on: FENCED', async () => {
      const { open, lane, rows } = await world([0], ['before'])
      const batch = batchOf({ partition: 0, records: events(0, 'a', 'b') })
      await assert.rejects(storeBatch(lane, batch), TransientError)
      await store(open().lane(0), { partition: 0, records: events(0, 'a') })
      await assert.rejects(storeBatch(lane, batch), fenced)
      assert.deepEqual(await rows(), ['0/0 a'])
    })

    test('aborted before it began: the reason, and nothing stored', async () => {
      const { lane, rows } = await world()
      const batch = batchOf({ partition: 0, records: events(0, 'a') })
      await assert.rejects(lane.persist(batch, quietly(batch), AbortSignal.abort(new Error('enough'))), {
        message: 'enough',
      })
      assert.deepEqual(await rows(), [])
    })

    test('aborted half-way: the reason; whether it was stored, the ledger knows', async () => {
      const { open, lane, rows, ledger } = await world()
      const batch = batchOf({ partition: 0, records: events(0, ...Array.from({ length: 2000 }, (_, n) => `e${n}`)) })
      const stop = new AbortController()
      const persisting = lane.persist(batch, quietly(batch), stop.signal)
      setImmediate(() => stop.abort(new Error('enough')))
      const outcome = await persisting.then(
        () => 'stored',
        (error: Error) => error.message,
      )
      assert.ok(outcome === 'enough' || outcome === 'stored', outcome)
      const other = await stubbornly(open().lane(0), batch).catch((error: unknown) => {
        if (!fenced(error)) throw error
        return null
      })
      assert.equal((await rows()).length, 2000)
      assert.deepEqual((await ledger())[0]?.counts, [2000, 0, 0, 0])
      if (outcome === 'stored') assert.equal(other, null)
    })

    test('note: tells what was published after the last batch; never back, never beyond what is stored', async () => {
      const { persist, lane, ledger } = await world()
      await store(lane, { partition: 0, records: events(0, 'a', 'b') }, { partition: 1, records: events(0, 'c') })
      await persist.note(
        new Map([
          [0, { publishedOffset: 2, streams: { a: 2 } }],
          [1, { publishedOffset: 5, streams: { a: 5 } }],
        ]),
      )
      await persist.note(
        new Map([
          [0, { publishedOffset: 1, streams: null }],
          [9, { publishedOffset: 1, streams: null }],
        ]),
      )
      // Somebody who was thrown out of the group and drains: it knows less of one stream, and more of none.
      await persist.note(new Map([[0, { publishedOffset: 1, streams: { a: 1, b: 1 } }]]))
      const all = await ledger()
      assert.deepEqual([all[0]?.publishedOffset, all[0]?.streams], [2, { a: 2, b: 1 }])
      assert.deepEqual(
        [all[1]?.publishedOffset, all[1]?.streams],
        [null, {}],
        'that much was never stored: not ours any more',
      )
    })

    test('a large batch', async () => {
      const { lane, rows } = await world()
      const ids = Array.from({ length: 20_000 }, (_, n) => `e${n}`)
      assert.equal(await store(lane, { partition: 0, records: events(0, ...ids) }), null)
      const stored = await rows()
      assert.equal(stored.length, 20_000)
      assert.equal(stored.at(-1), '0/19999 e19999')
    })
  })
}
