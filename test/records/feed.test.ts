import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createFeed } from '../../src/records/feed.ts'

test('items come in order, whatever the chunks, and never two questions at a time', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(fc.nat(), { maxLength: 5 }), { maxLength: 8 }), async (chunks) => {
      const waiting = [...chunks]
      let asking = 0
      const feed = createFeed(async () => {
        assert.equal(asking++, 0)
        await Promise.resolve()
        asking--
        return waiting.shift() ?? null
      })
      const seen: number[] = []
      for (;;) {
        if (feed.empty) await feed.ready()
        const head = feed.head()
        if (head === undefined) break
        seen.push(head)
        feed.take()
      }
      assert.deepEqual(seen, chunks.flat())
      assert.equal(feed.empty, false)
    }),
  )
})

test('a failure of a chunk asked for ahead is told to whoever comes to it', async () => {
  let asked = 0
  const feed = createFeed(async () => {
    if (++asked === 2) throw new Error('gone')
    return [1]
  })
  await feed.ready()
  assert.equal(feed.head(), 1)
  feed.take()
  await assert.rejects(feed.ready(), /gone/)
})
