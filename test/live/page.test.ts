import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { pageHeaders, pageRoutes, renderPage } from '../../src/live/page.ts'
import type { Picture } from '../../src/live/picture.ts'
import { ranges, renderLive } from '../../src/live/sections.ts'
import { assertWellFormed } from '../load/well-formed.ts'
import { partition, picture } from './picture.ts'

test('the page holds the rooms, the map, the lag, the rejects, the bottleneck and the replicas', () => {
  const live = renderLive(picture)
  for (const expected of [
    /<p role="status"><strong>replica-2 does not serve<\/strong>/,
    /<li class="card persist"><h3>persist <span class="badge">bottleneck<\/span><\/h3>/,
    /aria-label="works 72 % of its time, waits for input 23 %, for the next room 5 %"/,
    /The bottleneck is persist; more replicas would not help\./,
    /<div class="two"><dt>to stored, p50 · p95 · p99<\/dt><dd>6\.2 ms · 14 ms · 22 ms<\/dd>/,
    /aria-label="Lag: age of the oldest that waits, last 1:00: now 900 ms, at most 900 ms"/,
    /<li role="option" id="p-cloud-events-17" class="c0 d3 p3 u3 s3" aria-selected="false" aria-label="17: 12,345 behind" data-replica="replica-2" data-marks="1000017 987672 987672 987672 987672" data-end="1000017" data-lag="2 min">17<\/li>/,
    /<a href="http:\/\/127\.0\.0\.1:41233\/">replica-1<\/a>/,
    /replica-2 <span class="badge warn">starts again in 2 s<\/span>/,
    /<code>not_json<\/code><\/th><td>14<\/td><td class="text">The value is not JSON\.<\/td>/,
    /<time>00:11<\/time> replica-2 ended \(SIGKILL\), starts again in 2 s/,
  ])
    assert.match(live, expected)
  assert.equal(live.match(/role="option"/g)?.length, 100)
  assertWellFormed(live)
})

test('the page needs nothing from elsewhere, and its script is the one that it allows', () => {
  const page = renderPage(picture, 'the fleet')
  assert.doesNotMatch(page, /\b(src|href)="(?!#|data:,|http:\/\/127\.0\.0\.1:41233\/)/)
  assert.doesNotMatch(page, /@import|url\(|\son\w+=/)
  const [, script = ''] = /<script>([\s\S]*)<\/script>/.exec(page) ?? []
  const hash = createHash('sha256').update(script).digest('base64')
  assert.ok(pageHeaders['content-security-policy']?.includes(`script-src 'sha256-${hash}'`))
  assert.ok(script.length < 8000, `${script.length} characters of script`)
  assert.ok(page.length < 120_000, `${page.length} characters for 100 partitions`)
  assert.match(page, /<html lang="en">/)
  assert.match(page, /<meta name="viewport" content="width=device-width, initial-scale=1">/)
  // One main heading, then headings of sections; every section has a name.
  assert.equal(page.match(/<h1/g)?.length, 1)
  for (const [, attributes] of page.matchAll(/<section([^>]*)>/g)) assert.match(attributes as string, /aria-label/)
  for (const [, id] of page.matchAll(/aria-labelledby="([^"]+)"/g)) assert.ok(page.includes(`id="${id}"`), id)
})

test('ids stand once', () => {
  const ids = [...renderPage(picture, 'x').matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id)
  assert.equal(new Set(ids).size, ids.length)
})

test('property: whatever replicas tell, the page stays well-formed and nothing of it becomes markup', () => {
  const nasty = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '<script>alert(1)</script>',
      '"><img src=x>',
      "' onx='",
      '&lt;',
      '\u0000',
      '\ud800',
      'javascript:1',
    ),
  )
  const figure = fc.oneof(fc.double({ min: 0, max: 1e15, noNaN: false }), fc.constantFrom(0, 1))
  // Among the codes of a newer version may be anything, also what every object has.
  const code = fc.oneof(nasty, fc.constantFrom('valueOf', '__proto__', 'constructor'))
  const changes = fc.record({
    consumer: nasty,
    phase: nasty,
    storedPerSecond: figure,
    lagSeconds: fc.double({ min: 0, max: 1e9, noNaN: true }),
    lagHistory: fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 400 }),
    storedHistory: fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 3 }),
    rejectsByCode: fc.dictionary(code, fc.nat(), { maxKeys: 4 }),
    addresses: fc.array(fc.tuple(nasty, nasty), { maxLength: 3 }),
    events: fc.array(fc.record({ elapsedMs: fc.nat(), text: nasty }), { maxLength: 4 }),
    replicas: fc.array(
      fc.record({
        name: nasty,
        state: fc.option(nasty),
        adminUrl: fc.option(nasty),
        reasons: fc.array(nasty, { maxLength: 2 }),
      }),
      { maxLength: 3 },
    ),
    partitions: fc.array(fc.tuple(fc.nat(2000), nasty, fc.option(nasty)), { maxLength: 5 }),
  })
  fc.assert(
    fc.property(changes, (changed) => {
      const replica = picture.replicas[0]!
      const shown = {
        ...picture,
        ...changed,
        replicas: changed.replicas.map((one) => ({ ...replica, ...one })),
        partitions: changed.partitions.map(([number, text, code]) =>
          partition(number, number, {
            topic: text,
            replica: text,
            ...(code !== null && { marks: null, behind: null, stopped: { code, reason: text } }),
          }),
        ),
      } as Picture
      const live = renderLive(shown)
      assertWellFormed(live)
      assert.doesNotMatch(live, /<script|<img|href="javascript/)
    }),
    { numRuns: 60 },
  )
})

test('a replica’s partitions are told in ranges, and not without end', () => {
  assert.equal(ranges([3, 1, 2, 7, 9, 10]), '1-3, 7, 9-10')
  assert.equal(ranges([]), '')
  const dealtOut = ranges(Array.from({ length: 500 }, (_, index) => 2 * index))
  assert.ok(dealtOut.length < 220)
  assert.match(dealtOut, /, 78 and 460 more$/)
})

test('of many thousand partitions those furthest behind are shown', () => {
  const partitions = Array.from({ length: 5000 }, (_, number) => partition(number, number === 4321 ? 900 : 0))
  const live = renderLive({ ...picture, partitions })
  assert.equal(live.match(/role="option"/g)?.length, 1000)
  assert.match(live, /id="p-cloud-events-4321"/)
  assert.match(live, /The 1,000 furthest behind of 5,000\./)
})

test('before anything is known there is a page, too', () => {
  const none = {
    ...picture,
    replicas: [],
    partitions: [],
    events: [],
    lagHistory: [],
    storedHistory: [],
    p99History: [],
  }
  const nan = { count: 0, p50: Number.NaN, p95: Number.NaN, p99: Number.NaN }
  const live = renderLive({ ...none, rejectsByCode: {}, stored: nan, published: nan, load: null, bottleneck: null })
  assertWellFormed(live)
  assert.doesNotMatch(live, /NaN|Infinity|undefined|null/)
})

test('the routes are the page, what is drawn anew, and the same for programs', () => {
  const routes = pageRoutes(() => picture, 'replica-1')
  const { body, type, headers } = routes['/']!()
  assert.match(type, /^text\/html/)
  assert.match(body, /<h1>cloud-events <small>replica-1<\/small><\/h1>/)
  assert.match(headers['content-security-policy'] ?? '', /^default-src 'none'/)
  assert.match(routes['/live']!().body, /^<main id="live"/)
  assert.equal(JSON.parse(routes['/picture.json']!().body).consumer, 'cloud-events')
})
