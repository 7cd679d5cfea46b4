import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson, type Json } from '../../src/core/json.ts'
import { type Change, diff } from '../../src/state/diff.ts'

type Box = Record<string, Json>

/** Carries changes out, as a reader of them would. */
function apply(before: Json, changes: readonly Change[]): Json {
  const box: Box = { whole: structuredClone(before) as Json }
  // From the end: a list that gets shorter loses its last items first.
  for (const { path, kind, after } of [...changes].sort((a, b) =>
    a.kind === 'removed' && b.kind === 'removed' ? -1 : 0,
  )) {
    const names = [
      'whole',
      ...path
        .split('/')
        .slice(1)
        .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~')),
    ]
    const last = names.pop() as string
    let at = box as Json
    for (const name of names) at = (at as Box)[name] as Json
    if (kind !== 'removed') {
      Object.defineProperty(at, last, {
        value: structuredClone(after),
        enumerable: true,
        writable: true,
        configurable: true,
      })
    } else if (Array.isArray(at)) (at as Json[]).pop()
    else delete (at as Box)[last]
  }
  return box.whole as Json
}

const value = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<Json>
/** Mostly the same: what is different is then somewhere inside. */
const pair = fc
  .tuple(value, value, fc.dictionary(fc.constantFrom('a', 'b', '~', '/', ''), value))
  .chain(([a, b, members]) =>
    fc.constantFrom<[Json, Json]>(
      [a, b],
      [members, { ...members, a: b }],
      [{ x: members }, { x: { ...members, b: a } }],
      [[a, b], [a]],
      [[a], [a, b, a]],
    ),
  )

test('the changes make the one out of the other, and there are none of what is the same', () => {
  fc.assert(
    fc.property(pair, ([before, after]) => {
      const changes = diff(before, after)
      assert.equal(canonicalJson(apply(before, changes)), canonicalJson(after))
      assert.equal(changes.length === 0, canonicalJson(before) === canonicalJson(after))
      assert.deepEqual(diff(after, after), [])
    }),
    { numRuns: 1000 },
  )
})

test('what it says', () => {
  const before = { status: 'open', lines: [{ sku: 'A', n: 1 }], note: null }
  const after = {
    status: 'fulfilled',
    lines: [
      { sku: 'A', n: 2 },
      { sku: 'B', n: 1 },
    ],
    closed: true,
  }
  assert.deepEqual(diff(before, after), [
    { path: '/status', kind: 'changed', before: 'open', after: 'fulfilled' },
    { path: '/lines/0/n', kind: 'changed', before: 1, after: 2 },
    { path: '/lines/1', kind: 'added', after: { sku: 'B', n: 1 } },
    { path: '/note', kind: 'removed', before: null },
    { path: '/closed', kind: 'added', after: true },
  ])
})
