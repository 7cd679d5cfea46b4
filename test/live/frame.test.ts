import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import fc from 'fast-check'
import { renderFrame } from '../../src/live/frame.ts'
import { renderLine } from '../../src/live/line.ts'
import { partition, picture } from './picture.ts'

const plain = { colours: false, unicode: true }

test('80 by 24 holds everything that matters', () => {
  const frame = renderFrame(picture, { columns: 80, rows: 24 }, plain)
  const text = frame.join('\n')
  assert.ok(frame.length <= 24)
  for (const expected of [
    /cloud-events, 2 replicas/,
    /running {2}00:12 of 00:30/,
    /kafka 127\.0\.0\.1:16078 {3}redis redis:\/\/127\.0\.0\.1:20252/,
    /postgres postgres:\/\/millrace:millrace@127\.0\.0\.1:21136\/millrace/,
    /produce .* consume .* decode .* persist .* publish .* settle/,
    /6,667\/s +6,670\/s +6,668\/s/,
    /72 %/,
    /▲ bottleneck/,
    /produced to stored +6\.2 ms +14 ms +22 ms/,
    /produced to published +7\.8 ms +17 ms +28 ms/,
    /batch rows 12 \/ 60 \/ 120/,
    /replica-1 +50 +12 +0\.0 +3,334 +41 % +181 MiB +127\.0\.0\.1:41233/,
    /replica-2 .* starts again in 2 s/,
    /rows 79,900 {3}entries 79,890 {3}duplicates 80 {3}rejects 24/,
    /restarts 1 /,
    /not_json 14 {2}truncated 10/,
    /00:11 {2}replica-2 ended \(SIGKILL\)/,
  ]) {
    assert.match(text, expected)
  }
})

test('the mark stands below the room that is short of time', () => {
  const frame = renderFrame(picture, { columns: 80, rows: 24 }, plain)
  const names = frame.find((line) => line.startsWith('produce')) ?? ''
  const mark = frame.find((line) => line.includes('bottleneck')) ?? ''
  assert.equal(mark.indexOf('▲'), names.indexOf('persist'))
})

test('without a load of our own: how things are, the partitions furthest behind, and the lag of the last minutes', () => {
  const ofTop = { ...picture, load: null, seed: null, forMs: null, addresses: [] }
  const small = renderFrame(ofTop, { columns: 80, rows: 24 }, plain)
  assert.equal(small[1], ' replica-2 does not serve')
  assert.match(small.join('\n'), /^partitions ·{17}▅·+$/m)
  assert.doesNotMatch(small.join('\n'), /produce |not sent|acknowledged/)
  const large = renderFrame(ofTop, { columns: 100, rows: 50 }, plain).join('\n')
  assert.match(large, /^17 +12\.3k +123\.5 +1000017 +987672 +987672 +987672 +987672 +replica-2$/m)
  assert.match(large, /^lag +[▁-█ ]+ 900 ms$/m)
  assert.match(large, /in 23 out 5/)
  const stopped = partition(3, 0, { stopped: { code: 'STREAM_LOST', reason: 'A stream holds less.' } })
  const bad = renderFrame({ ...ofTop, partitions: [stopped] }, { columns: 100, rows: 40 }, plain).join('\n')
  assert.match(bad, /^partitions !$/m)
  assert.match(bad, /^3 +0 +0\.0 {2}STREAM_LOST: A stream holds less\.$/m)
  assert.match(bad, /Partition 3 is stopped until somebody decides: STREAM_LOST \(and 1 more\)/)
})

test('a room that is only the busiest is no bottleneck', () => {
  const marked = (limits: typeof picture.limits) =>
    renderFrame({ ...picture, limits }, { columns: 80, rows: 24 }, plain).join('\n')
  assert.match(marked('none'), /▲ busiest/)
  assert.doesNotMatch(marked('none'), /bottleneck/)
  assert.match(marked('publish'), /▲ bottleneck/)
})

test('no frame is wider or higher than its terminal, whatever is going on', () => {
  const size = fc.record({ columns: fc.integer({ min: 40, max: 220 }), rows: fc.integer({ min: 5, max: 80 }) })
  const numbers = fc.double({ min: 0, max: 1e9, noNaN: false })
  const changes = fc.record({
    storedPerSecond: numbers,
    storedHistory: fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 300 }),
    stored: fc.record({ count: fc.nat(), p50: numbers, p95: numbers, p99: numbers }),
    bottleneck: fc.constantFrom('source' as const, 'consume' as const, 'publish' as const, null),
    replicas: fc.array(fc.constantFrom(...picture.replicas), { maxLength: 30 }),
    events: fc.array(fc.record({ elapsedMs: fc.nat(), text: fc.string({ maxLength: 300 }) }), { maxLength: 20 }),
    forMs: fc.option(fc.integer({ min: 1000, max: 1e8 })),
    publishes: fc.boolean(),
    unassigned: fc.nat(100),
    load: fc.constantFrom(picture.load, null),
    partitions: fc.array(
      fc
        .tuple(fc.nat(9999), fc.nat(1e9), fc.boolean())
        .map(([number, records, isStopped]) =>
          partition(number, records, isStopped ? { stopped: { code: 'STREAM_LOST', reason: 'x'.repeat(200) } } : {}),
        ),
      { maxLength: 300 },
    ),
  })
  fc.assert(
    fc.property(size, changes, fc.boolean(), fc.boolean(), (size, changed, colours, unicode) => {
      // Control characters in an event are not the frame's business.
      const events = changed.events.map(({ elapsedMs, text }) => ({ elapsedMs, text: text.replace(/[^ -~]/g, '?') }))
      const frame = renderFrame({ ...picture, ...changed, events }, size, { colours, unicode })
      assert.ok(frame.length <= size.rows)
      for (const line of frame) {
        const seen = stripVTControlCharacters(line)
        assert.ok(seen.length <= size.columns, `${seen.length} of ${size.columns}: ${seen}`)
        if (!colours) assert.equal(seen, line)
        if (!unicode) assert.match(seen.replaceAll('…', '.'), /^[ -~]*$/)
      }
    }),
  )
})

test('a larger terminal shows more replicas, then charts, then events', () => {
  const replicas = Array.from({ length: 6 }, (_, index) => ({ ...picture.replicas[0]!, name: `replica-${index + 1}` }))
  const small = renderFrame({ ...picture, replicas }, { columns: 80, rows: 24 }, plain).join('\n')
  const large = renderFrame({ ...picture, replicas }, { columns: 120, rows: 40 }, plain).join('\n')
  assert.doesNotMatch(small, /replica-6/)
  assert.match(large, /replica-6/)
  assert.match(large, /ms top/)
})

test('a plain line says the same in one line', () => {
  assert.equal(
    renderLine(picture),
    '  12.4 s  running  in 6,667/s  stored 6,665/s  published 6,664/s  lag 0.0 s (12)  to stored 6.2 ms / 14 ms / 22 ms  to published 7.8 ms / 17 ms / 28 ms  batch 12 rows  rejects 24  bottleneck persist 72 %  restarts 1',
  )
})
