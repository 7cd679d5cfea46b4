import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bar, brief, bytes, chart, clock, fit, milliseconds, painter, sparkline } from '../../src/live/style.ts'
import { styleOf } from '../../src/live/view.ts'

const unicode = { colours: false, unicode: true }
const ascii = { colours: false, unicode: false }

test('numbers read as people write them', () => {
  assert.deepEqual([0, 999, 6667, 66_670, 999_999, 1_234_567, 12_345_678].map(brief), [
    '0',
    '999',
    '6,667',
    '66.7k',
    '1000k',
    '1.23M',
    '12.3M',
  ])
  assert.deepEqual([0.84, 9.96, 14.2, 999.6, 1234, 45_000, 300_000, Number.NaN].map(milliseconds), [
    '0.8 ms',
    '10 ms',
    '14 ms',
    '1.0 s',
    '1.2 s',
    '45 s',
    '5 min',
    '-',
  ])
  assert.deepEqual([12, 2048, 5_500_000, 190_000_000, 3e9].map(bytes), [
    '12 B',
    '2 KiB',
    '5.2 MiB',
    '181 MiB',
    '2.8 GiB',
  ])
  assert.deepEqual([0, 12_900, 3_723_000].map(clock), ['00:00', '00:12', '1:02:03'])
})

test('a bar fills in eighths and never leaves its width', () => {
  assert.equal(bar(0.5, 4, unicode), '██··')
  assert.equal(bar(0.53, 4, unicode), '██▏·')
  assert.equal(bar(0.5, 4, ascii), '##..')
  fc.assert(
    fc.property(
      fc.double({ min: -1, max: 2 }),
      fc.integer({ min: 1, max: 60 }),
      fc.boolean(),
      (share, width, blocks) => {
        assert.equal(bar(share, width, { colours: false, unicode: blocks }).length, width)
      },
    ),
  )
})

test('a sparkline has the newest at the right, and shows whatever is not nothing', () => {
  assert.equal(sparkline([0, 4, 8], 5, unicode), '   ▄█')
  assert.equal(sparkline([1, 1000], 2, unicode), '▁█')
  assert.deepEqual(chart([8, 4, 1], 3, 2, 8, unicode), ['█  ', '██▂'])
})

test('a cell has exactly its width', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii' }), fc.integer({ min: 1, max: 40 }), (text, width) => {
      assert.equal(fit(text, width).length, width)
      assert.equal(fit(text, width, 'right').length, width)
    }),
  )
})

test('colours only where there are any and nobody minds', () => {
  assert.equal(painter({ colours: true, unicode: true })('x', 'red'), '\x1b[31mx\x1b[0m')
  assert.equal(painter(ascii)('x', 'red'), 'x')
  assert.equal(styleOf({ LANG: 'C.UTF-8' }, true).colours, true)
  assert.equal(styleOf({ LANG: 'C.UTF-8', NO_COLOR: '1' }, true).colours, false)
  assert.equal(styleOf({ TERM: 'dumb' }, true).colours, false)
  assert.equal(styleOf({}, false).colours, false)
  assert.equal(styleOf({ LANG: 'C' }, true).unicode, false)
})
