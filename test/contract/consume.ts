/** What consume/ and its settle/ promise, whatever the client: run on memory and on kafkajs with a real broker. */
import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { codecNames } from '../../src/core/codecs.ts'
import { RecordView, unpackRun } from '../../src/core/record.ts'
import type { Consume, ConsumeHandlers, Fetched } from '../../src/flow/consume/port.ts'
import { within } from '../e2e/until.ts'

export const partitionCount = 4

export interface ConsumeWorld {
  /** One more member of the one group, on an at first empty topic of four partitions. */
  open(options?: { sessionTimeoutMs?: number }): Consume
  /** One batch of records with these values. */
  produce(partition: number, ...values: string[]): Promise<void>
  /** The same in a transaction that commits, which leaves a control record behind. */
  produceInTransaction(partition: number, ...values: string[]): Promise<void>
  /** A transaction of so many records that is aborted: they and a control record are passed over. */
  abortTransaction(partition: number, count: number): Promise<void>
  deleteRecords(partition: number, beforeOffset: number): Promise<void>
  committed(): Promise<Map<number, number>>
  /** How many members the group has, as Kafka sees it. */
  members(): Promise<number>
  /** Members that a test leaves running are stopped. */
  close(): Promise<void>
}

/** How long anything may take; a wait ends with the event it waits for. */
const limitMs = 60_000

export function valuesOf({ runs }: Fetched): string[] {
  const view = new RecordView()
  return runs.flatMap((run) => {
    assert.ok(codecNames[run.codec])
    view.open(unpackRun(run.codec, Buffer.from(run.bytes)), run)
    return Array.from({ length: run.count }, () => {
      view.next()
      return view.valueStart < 0 ? '' : view.bytes.toString('utf8', view.valueStart, view.valueEnd)
    })
  })
}

/** A member that takes what comes, keeps what it saw, and holds the law: each batch begins where the one before it ended. */
class Reader implements ConsumeHandlers {
  readonly consume: Consume
  readonly assignments: number[][] = []
  readonly batches: Fetched[] = []
  readonly values = new Map<number, string[]>()
  readonly expected = new Map<number, number>()
  /** Asked before a batch is taken. */
  decide: (batch: Fetched) => boolean | Promise<boolean> = () => true
  onAssigned: (partitions: readonly number[]) => void = () => {}
  signs = 0
  #happened = Promise.withResolvers<void>()
  running: Promise<void> = Promise.resolve()

  constructor(consume: Consume) {
    this.consume = consume
  }

  start(): this {
    this.running = this.consume.run(this)
    this.running.catch(() => {})
    return this
  }

  #happen(): void {
    this.#happened.resolve()
    this.#happened = Promise.withResolvers()
  }

  assigned(partitions: readonly number[]): void {
    this.assignments.push([...partitions].sort())
    for (const [partition, expected] of this.expected) {
      // As the gate does: what stays goes on from where it is, whatever was settled.
      if (partitions.includes(partition)) this.consume.seek(partition, expected)
      else this.expected.delete(partition)
    }
    this.onAssigned(partitions)
    this.#happen()
  }

  async fetched(batch: Fetched): Promise<boolean> {
    const { partition, fetchedOffset, nextOffset } = batch
    assert.ok(this.assignments.at(-1)?.includes(partition), `partition ${partition} is not ours`)
    assert.ok(nextOffset > fetchedOffset, `[${fetchedOffset}, ${nextOffset})`)
    const taken = await this.decide(batch)
    if (taken) {
      const expected = this.expected.get(partition)
      if (expected !== undefined) assert.equal(fetchedOffset, expected, `partition ${partition}`)
      this.expected.set(partition, nextOffset)
      this.batches.push(batch)
      // A broker hands out whole batches: what lies before the offset asked for came before.
      this.values.set(partition, [...(this.values.get(partition) ?? []), ...valuesOf(batch)])
    }
    this.#happen()
    return taken
  }

  skipped(partition: number, firstOffset: number, nextOffset: number): void {
    if (this.expected.get(partition) === firstOffset) this.expected.set(partition, nextOffset)
    this.#happen()
  }

  heard(): void {
    this.signs++
  }

  seek(partition: number, nextOffset: number): void {
    this.expected.set(partition, nextOffset)
    this.consume.seek(partition, nextOffset)
  }

  /** Until it is so, looked at whenever something happened. */
  async until(what: string, isSo: () => boolean): Promise<void> {
    while (!isSo()) await within(what, limitMs, this.#happened.promise)
  }

  of(partition: number): string {
    return (this.values.get(partition) ?? []).join(' ')
  }
}

export function consumeContract(name: string, empty: (context: TestContext) => Promise<ConsumeWorld>): void {
  describe(`consume/ and settle/ by ${name}`, () => {
    const world = async (context: TestContext) => {
      const all = await empty(context)
      context.after(() => all.close())
      return { ...all, reader: (options?: { sessionTimeoutMs?: number }) => new Reader(all.open(options)) }
    }

    test('one member has every partition, is told so before anything comes, and gets all records in order', async (context) => {
      const { reader, produce } = await world(context)
      await produce(0, 'a0', 'a1')
      await produce(0, 'a2')
      await produce(3, 'd0')
      const one = reader().start()
      await one.until('the records', () => one.of(0) === 'a0 a1 a2' && one.of(3) === 'd0')
      assert.deepEqual(one.assignments, [[0, 1, 2, 3]])
      await produce(0, 'a3', 'a4')
      await produce(1, 'b0')
      await one.until('what came later', () => one.of(0) === 'a0 a1 a2 a3 a4' && one.of(1) === 'b0')
      assert.deepEqual([...one.expected].sort(), [
        [0, 5],
        [1, 1],
        [3, 1],
      ])
      for (const { highWatermark, nextOffset } of one.batches) assert.ok(highWatermark >= nextOffset)
      assert.ok(one.signs > 0)
    })

    test('what was not taken comes again, from the same offset', async (context) => {
      const { reader, produce } = await world(context)
      await produce(0, 'a0', 'a1')
      const one = reader()
      const offered: number[] = []
      one.decide = ({ fetchedOffset }) => offered.push(fetchedOffset) > 3
      one.start()
      await one.until('the records', () => one.of(0) === 'a0 a1')
      assert.deepEqual(offered, [0, 0, 0, 0])
    })

    test('seek: the next fetch begins there, back or ahead, and every batch says where it was fetched', async (context) => {
      const { reader, produce } = await world(context)
      for (const value of ['a0', 'a1', 'a2', 'a3']) await produce(0, value)
      const one = reader().start()
      await one.until('the records', () => one.of(0) === 'a0 a1 a2 a3')
      one.seek(0, 2)
      await one.until('two of them again', () => one.of(0) === 'a0 a1 a2 a3 a2 a3')
      one.seek(0, 6)
      await produce(0, 'a4', 'a5')
      await produce(0, 'a6')
      await one.until('only what lies behind', () => one.of(0).endsWith('a6'))
      assert.equal(one.batches.at(-1)?.fetchedOffset, 6)
      assert.equal(one.of(0), 'a0 a1 a2 a3 a2 a3 a6')
    })

    test('a seek instead of taking replaces the batch', async (context) => {
      const { reader, produce } = await world(context)
      for (const value of ['a0', 'a1', 'a2']) await produce(0, value)
      const one = reader()
      one.decide = ({ fetchedOffset }) => {
        if (fetchedOffset === 2) return true
        one.seek(0, 2)
        return false
      }
      one.start()
      await one.until('the last', () => one.of(0) === 'a2')
    })

    test('a seek told at the assignment holds for the first batch', async (context) => {
      const { reader, produce } = await world(context)
      for (const value of ['a0', 'a1', 'a2']) await produce(0, value)
      const one = reader()
      one.onAssigned = () => one.seek(0, 1)
      one.start()
      await one.until('the records', () => one.of(0).endsWith('a2'))
      assert.equal(one.of(0), 'a1 a2')
    })

    test('while a handler waits, its partition brings nothing more and the membership stays', async (context) => {
      const { reader, produce, members } = await world(context)
      await produce(0, 'a0')
      const one = reader({ sessionTimeoutMs: 3000 })
      const gate = Promise.withResolvers<void>()
      let offered = 0
      one.decide = async ({ partition }) => {
        if (partition !== 0) return true
        offered++
        await gate.promise
        return true
      }
      one.start()
      await one.until('the assignment', () => one.assignments.length > 0)
      await produce(0, 'a1')
      // Longer than the session: only heartbeats keep a member for so long.
      await new Promise((resolve) => setTimeout(resolve, name === 'memory' ? 10 : 4000))
      assert.equal(offered, 1)
      assert.equal(await members(), 1)
      gate.resolve()
      await one.until('the records', () => one.of(0) === 'a0 a1')
      assert.equal(one.assignments.length, 1)
    })

    test('control records and aborted transactions: nobody sees them, and no offset is left out of what was covered', async (context) => {
      const { reader, produce, produceInTransaction, abortTransaction } = await world(context)
      await produceInTransaction(0, 'a0', 'a1')
      await abortTransaction(0, 3)
      await produce(0, 'a2')
      await produceInTransaction(0, 'a3')
      await abortTransaction(0, 1)
      await abortTransaction(1, 2)
      const one = reader().start()
      const high = (await one.consume.watermarks()).get(0)?.high as number
      assert.equal(high, 3 + 4 + 1 + 2 + 2)
      await one.until('all of it, to the very end', () => one.expected.get(0) === high && one.expected.get(1) === 3)
      assert.equal(one.of(0), 'a0 a1 a2 a3')
      assert.equal(one.of(1), '')
      // The Reader has held that each batch began where the last one ended; the first one began at the beginning.
      assert.equal(one.batches.find(({ partition }) => partition === 0)?.fetchedOffset, 0)
    })

    test('watermarks: what Kafka holds, of every partition', async (context) => {
      const { reader, produce, deleteRecords } = await world(context)
      await produce(0, 'a0')
      await produce(0, 'a1')
      await produce(0, 'a2')
      await produce(2, 'c0')
      await deleteRecords(0, 2)
      const { consume } = reader()
      const marks = [...(await consume.watermarks())].map(([partition, { low, high }]) => [partition, { low, high }])
      assert.deepEqual(marks.sort(), [
        [0, { low: 2, high: 3 }],
        [1, { low: 0, high: 0 }],
        [2, { low: 0, high: 1 }],
        [3, { low: 0, high: 0 }],
      ])
    })

    test('a position that Kafka does not hold any more: reset by the client, and to be seen in the batch', async (context) => {
      const { reader, produce, deleteRecords } = await world(context)
      for (const value of ['a0', 'a1', 'a2', 'a3']) await produce(0, value)
      await deleteRecords(0, 2)
      const one = reader()
      one.onAssigned = () => one.consume.seek(0, 1)
      one.start()
      await one.until('what is left', () => one.of(0).endsWith('a3'))
      assert.equal(one.batches[0]?.fetchedOffset, 2)
      assert.equal(one.of(0), 'a2 a3')
    })

    test('commit: the group remembers, and a new member without a seek goes on there', async (context) => {
      const { reader, produce, committed } = await world(context)
      for (const value of ['a0', 'a1', 'a2']) await produce(0, value)
      await produce(1, 'b0')
      const one = reader().start()
      await one.until('the records', () => one.of(0) === 'a0 a1 a2' && one.of(1) === 'b0')
      await one.consume.settle.commit(
        new Map([
          [0, 2],
          [1, 1],
        ]),
      )
      assert.deepEqual([...(await committed())].sort(), [
        [0, 2],
        [1, 1],
      ])
      await one.consume.stop()
      await within('the end of run()', limitMs, one.running)
      const next = reader().start()
      await next.until('the rest', () => next.of(0) === 'a2')
      assert.equal(next.batches.find(({ partition }) => partition === 0)?.fetchedOffset, 2)
      await produce(1, 'b1')
      await next.until('what came later', () => next.of(1) === 'b1')
    })

    test('pause: nothing more is pulled, and what was taken can still be settled; stop leaves', async (context) => {
      const { reader, produce, committed } = await world(context)
      await produce(0, 'a0')
      const one = reader().start()
      await one.until('the record', () => one.of(0) === 'a0')
      one.consume.pause()
      await produce(0, 'a1')
      await produce(1, 'b0')
      await one.consume.settle.commit(new Map([[0, 1]]))
      assert.equal((await committed()).get(0), 1)
      await one.consume.stop()
      await within('the end of run()', limitMs, one.running)
      assert.equal(one.of(0), 'a0')
      assert.equal(one.of(1), '')
      const next = reader().start()
      await next.until('the rest', () => next.of(0) === 'a1' && next.of(1) === 'b0')
    })

    test('a second member: each partition is one of theirs, and nothing is left out; when one leaves, the other has all', async (context) => {
      const { reader, produce } = await world(context)
      for (let partition = 0; partition < partitionCount; partition++) await produce(partition, `${partition}-0`)
      const one = reader()
      one.start()
      await one.until('all four', () => one.values.size === partitionCount)
      const settled = () => one.consume.settle.commit(one.expected)
      await settled()

      const two = reader().start()
      await two.until('a share', () => two.assignments.length > 0)
      await one.until('the smaller share', () => one.assignments.at(-1)?.length === 2)
      assert.deepEqual([...(one.assignments.at(-1) ?? []), ...(two.assignments.at(-1) ?? [])].sort(), [0, 1, 2, 3])
      for (let partition = 0; partition < partitionCount; partition++) await produce(partition, `${partition}-1`)
      const seen = () => [one, two].flatMap(({ values }) => [...values.values()].flat())
      await Promise.all([
        one.until('the new ones', () => one.assignments.at(-1)?.every((p) => one.of(p).endsWith('-1')) ?? false),
        two.until('the new ones', () => two.assignments.at(-1)?.every((p) => two.of(p).endsWith('-1')) ?? false),
      ])
      assert.deepEqual(seen().sort(), ['0-0', '0-1', '1-0', '1-1', '2-0', '2-1', '3-0', '3-1'])

      await settled()
      await two.consume.settle.commit(two.expected)
      await two.consume.stop()
      await within('the end of run()', limitMs, two.running)
      await one.until('all four again', () => one.assignments.at(-1)?.length === 4)
      for (let partition = 0; partition < partitionCount; partition++) await produce(partition, `${partition}-2`)
      await one.until('all four', () => [0, 1, 2, 3].every((partition) => one.of(partition).endsWith('-2')))
      assert.equal(seen().length, 12)
    })
  })
}
