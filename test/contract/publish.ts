/** What publish/ promises, whatever holds the streams: run on memory and on Redis. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { LostError, TransientError } from '../../src/core/errors.ts'
import type { Publish } from '../../src/flow/publish/port.ts'
import { batchOf, type ChunkSpec, type EventSpec, eventText, record } from '../flow/batches.ts'

export interface PublishWorld {
  /** One more process on the same, at first empty, streams. */
  open(options?: { streamLengthMax?: number }): Publish
  /** Ids (as offset + 1) and events of a stream, in order. */
  entries(family: string, partition: number): Promise<{ readonly id: string; readonly event: string }[]>
  /** The stream loses everything behind an id; all of it with 0. */
  lose(family: string, partition: number, behind: number): Promise<void>
  /** A reader deletes what it has read; the last id stays. */
  remove(family: string, partition: number, ids: readonly number[]): Promise<void>
  /** The next call fails without having reached the server, or after it has. */
  failNext(when: 'before' | 'after'): Promise<void>
}

const never = new AbortController().signal
const lost = (error: unknown) => error instanceof LostError && error.code === 'STREAM_LOST'
const events = (from: number, ...all: (string | EventSpec)[]) =>
  all.map((one, n) => record(from + n, typeof one === 'string' ? { id: one } : one))
const kind = (id: string, family: string): EventSpec => ({ id, type: `com.x.${family}` })

export function publishContract(name: string, empty: () => Promise<PublishWorld>): void {
  describe(`publish/ in ${name}`, () => {
    async function world(options: { streamLengthMax?: number } = {}) {
      const all = await empty()
      const publish = all.open(options)
      /** Publishes as the hallway does, with what this process knows of each partition's streams. */
      const known = new Map<number, Map<string, number>>()
      const knownOf = (partition: number) => {
        const streams = known.get(partition) ?? new Map<string, number>()
        known.set(partition, streams)
        return streams
      }
      const send = (chunks: ChunkSpec[], foreign: number[] = [], by = publish) => {
        const batch = batchOf(...chunks)
        const streams = batch.slices.map(({ partition }) => knownOf(partition))
        return by.publish(batch, foreign.length === 0 ? null : new Set(foreign), streams, never)
      }
      const ids = async (family: string, partition: number) =>
        (await all.entries(family, partition)).map(({ id }) => id).join(' ')
      return { ...all, publish, send, known, knownOf, ids }
    }

    test("every row becomes an entry: the id is the offset + 1, the event the producer's own bytes", async () => {
      const { send, entries, known } = await world()
      const text = ` {"specversion" : "1.0","id":"ü","source":"/s","type":"com.x.cloud","data":"\\u00e4"}`
      assert.equal(await send([{ partition: 3, records: [record(0, text), ...events(7, 'b')] }]), 2)
      assert.deepEqual(await entries('events:cloud', 3), [
        { id: '1-0', event: text },
        { id: '8-0', event: eventText({ id: 'b' }) },
      ])
      assert.deepEqual([...(known.get(3) ?? [])], [['events:cloud', 8]], 'and the caller knows how far it is')
    })

    test('rejects and foreign rows have no entry', async () => {
      const { send, ids } = await world()
      const records = [...events(0, 'a', 'b'), record(2, 'bad'), ...events(3, 'c', 'd')]
      assert.equal(await send([{ partition: 0, records }], [1, 2]), 2)
      assert.equal(await ids('events:cloud', 0), '1-0 5-0')
    })

    test('a batch of nothing to publish is published', async () => {
      const { send, known } = await world()
      assert.equal(await send([{ partition: 0, firstOffset: 0, nextOffset: 9 }]), 0)
      assert.equal(await send([{ partition: 0, records: events(9, 'a') }], [0]), 0)
      assert.deepEqual([...(known.get(0) ?? [])], [])
    })

    test('a repeat adds nothing, whoever makes it and whatever it knows', async () => {
      const { send, open, ids, known } = await world()
      const chunks = [{ partition: 0, records: events(0, 'a', 'b', 'c') }]
      assert.equal(await send(chunks), 3)
      assert.equal(await send(chunks), 0)
      known.clear()
      assert.equal(await send(chunks, [], open()), 0)
      assert.equal(await ids('events:cloud', 0), '1-0 2-0 3-0')
      assert.deepEqual([...(known.get(0) ?? [])], [['events:cloud', 3]])
    })

    test('a repeat that reaches further adds only what lies behind', async () => {
      const { send, ids } = await world()
      await send([{ partition: 0, records: events(0, 'a', 'b', 'c') }])
      assert.equal(await send([{ partition: 0, records: events(1, 'b', 'c', 'd', 'e') }]), 2)
      assert.equal(await ids('events:cloud', 0), '1-0 2-0 3-0 4-0 5-0')
    })

    test('what one process knows does not fall back because of what comes by again', async () => {
      const { send, knownOf } = await world()
      await send([{ partition: 0, records: events(0, 'a', 'b', 'c', 'd') }])
      await send([{ partition: 0, records: events(0, 'a', 'b') }])
      assert.equal(knownOf(0).get('events:cloud'), 4)
    })

    test('streams per family and partition, each with ids of its own', async () => {
      const { send, ids } = await world()
      const sent = await send([
        { partition: 1, records: events(0, kind('a', 'order'), kind('b', 'payment'), kind('c', 'order')) },
        { partition: 2, records: events(10, kind('d', 'payment')) },
      ])
      assert.equal(sent, 4)
      assert.equal(await ids('events:order', 1), '1-0 3-0')
      assert.equal(await ids('events:payment', 1), '2-0')
      assert.equal(await ids('events:payment', 2), '11-0')
      assert.equal(await ids('events:order', 2), '')
    })

    test('last: what each stream holds, 0 for one that is missing', async () => {
      const { send, publish, lose } = await world()
      await send([{ partition: 1, records: events(41, kind('a', 'order'), kind('b', 'payment')) }])
      const asked = [
        { partition: 1, family: 'events:order' },
        { partition: 1, family: 'events:payment' },
        { partition: 2, family: 'events:order' },
      ]
      assert.deepEqual(await publish.last(asked), [42, 43, 0])
      await lose('events:order', 1, 0)
      assert.deepEqual(await publish.last(asked), [0, 43, 0])
      assert.deepEqual(await publish.last([]), [])
    })

    test('a stream that is gone is never one to begin anew: LOST, and nothing is written', async () => {
      const { send, lose, ids } = await world()
      await send([{ partition: 0, records: events(0, kind('a', 'order'), kind('b', 'payment')) }])
      await lose('events:order', 0, 0)
      const chunks = [{ partition: 0, records: events(2, kind('c', 'payment'), kind('d', 'order')) }]
      await assert.rejects(send(chunks), lost)
      assert.equal(await ids('events:order', 0), '')
      assert.equal(await ids('events:payment', 0), '2-0', 'nor in a stream that is whole: all in one step')
    })

    test('a stream that lost its tail: LOST; told of it, it is filled in again under the same ids', async () => {
      const { send, lose, ids, knownOf } = await world()
      await send([{ partition: 0, records: events(0, 'a', 'b', 'c', 'd') }])
      await lose('events:cloud', 0, 2)
      await assert.rejects(send([{ partition: 0, records: events(4, 'e') }]), lost)
      assert.equal(await ids('events:cloud', 0), '1-0 2-0')
      // As at the gate: the stream is asked, and records come by again from there.
      knownOf(0).set('events:cloud', 2)
      assert.equal(await send([{ partition: 0, records: events(2, 'c', 'd', 'e'), again: true }]), 3)
      assert.equal(await ids('events:cloud', 0), '1-0 2-0 3-0 4-0 5-0')
    })

    test('entries that readers or trimming took away are not lost: the last id counts', async () => {
      const { send, ids } = await world({ streamLengthMax: 1 })
      await send([{ partition: 0, records: events(0, 'a', 'b', 'c') }])
      await send([{ partition: 0, records: events(3, 'd') }])
      assert.match(await ids('events:cloud', 0), /4-0$/)
    })

    test('what another process added and a reader deleted is not added again, though the newest entry is the one we know of', async () => {
      const { send, open, ids, known, remove } = await world()
      await send([{ partition: 0, records: events(0, 'a') }])
      const other = open()
      const mine = new Map(known.get(0))
      await send([{ partition: 0, records: events(1, 'b', 'c') }], [], other)
      await remove('events:cloud', 0, [2, 3])
      known.set(0, mine)
      assert.equal(await send([{ partition: 0, records: events(1, 'b', 'c', 'd') }]), 1)
      assert.equal(await ids('events:cloud', 0), '1-0 4-0')
    })

    test('a stream is trimmed to about its length, from the front', async () => {
      const { send, entries } = await world({ streamLengthMax: 1000 })
      for (let from = 0; from < 5000; from += 1000) {
        const ids = Array.from({ length: 1000 }, (_, n) => `e${from + n}`)
        await send([{ partition: 0, records: events(from, ...ids) }])
      }
      const kept = await entries('events:cloud', 0)
      assert.ok(kept.length >= 1000 && kept.length <= 1200, `${kept.length} are kept`)
      assert.equal(kept.at(-1)?.id, '5000-0')
    })

    test('thousands of entries of many partitions and families, more than one call carries', async () => {
      const { send, entries } = await world()
      const families = ['a', 'b', 'c']
      const chunk = (partition: number) => ({
        partition,
        records: events(
          0,
          ...Array.from({ length: 2600 }, (_, n) => kind(`${partition}-${n}`, families[n % 3] as string)),
        ),
      })
      assert.equal(await send([chunk(0), chunk(1), chunk(2)]), 7800)
      for (const partition of [0, 1, 2]) {
        for (const [index, family] of families.entries()) {
          const all = await entries(`events:${family}`, partition)
          assert.deepEqual(
            all.map(({ id }) => id),
            Array.from({ length: all.length }, (_, n) => `${3 * n + index + 1}-0`),
          )
          assert.equal(JSON.parse(all[7]?.event ?? '').id, `${partition}-${21 + index}`)
        }
      }
    })

    test('entries of some hundred kilobytes, and one of more than a call may hold', async () => {
      const { send, entries } = await world()
      const sizes = [300_000, 300_000, 300_000, 300_000, 5, 1_500_000, 5, 900_000]
      const records = sizes.map((size, n) => record(n, { id: `e${n}`, data: 'x'.repeat(size) }))
      assert.equal(await send([{ partition: 0, records }]), sizes.length)
      const all = await entries('events:cloud', 0)
      assert.deepEqual(
        all.map(({ event }) => JSON.parse(event).data.length),
        sizes,
      )
    })

    for (const when of ['before', 'after'] as const) {
      test(`a call fails, ${when} it took effect: tried again, every entry is there once and in order`, async () => {
        const { send, ids, failNext } = await world()
        await send([{ partition: 0, records: events(0, 'a') }])
        await failNext(when)
        const chunks = [{ partition: 0, records: events(1, 'b', kind('c', 'order'), 'd') }]
        await assert.rejects(send(chunks), (error: unknown) => error instanceof TransientError)
        for (let tries = 0; ; tries++) {
          try {
            await send(chunks)
            break
          } catch (error) {
            if (!(error instanceof TransientError) || tries === 100) throw error
            await new Promise((resolve) => setTimeout(resolve, 20))
          }
        }
        assert.equal(await ids('events:cloud', 0), '1-0 2-0 4-0')
        assert.equal(await ids('events:order', 0), '3-0')
      })
    }

    test('two processes with the same work at the same time: every entry once and in order', async () => {
      const { open, entries } = await world()
      const ids = Array.from({ length: 1700 }, (_, n) => `e${n}`)
      const batch = batchOf({ partition: 0, records: events(0, ...ids) })
      const added = await Promise.all(
        [open(), open(), open()].map((one) => one.publish(batch, null, [new Map()], never)),
      )
      assert.equal(
        added.reduce((sum, one) => sum + one, 0),
        1700,
      )
      assert.deepEqual(
        (await entries('events:cloud', 0)).map(({ id }) => id),
        ids.map((_, n) => `${n + 1}-0`),
      )
    })

    test("aborted: the signal's reason", async () => {
      const { publish } = await world()
      const batch = batchOf({ partition: 0, records: events(0, 'a') })
      const publishing = publish.publish(batch, null, [new Map()], AbortSignal.abort(new Error('enough')))
      await assert.rejects(publishing, { message: 'enough' })
      const stop = new AbortController()
      const begun = publish.publish(batch, null, [new Map()], stop.signal)
      stop.abort(new Error('enough'))
      await assert.rejects(begun, { message: 'enough' })
    })
  })
}
