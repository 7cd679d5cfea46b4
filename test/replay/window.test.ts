import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { firstWidthMs, nextWidth, windowAt, windowRows } from '../../src/replay/window.ts'

test('windows follow each other to the end, and the last one ends there', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2e12 }),
      fc.integer({ min: 1, max: 1e10 }),
      fc.infiniteStream(fc.nat(50_000)),
      (from, span, rows) => {
        let at = from
        let width = firstWidthMs
        for (let turns = 0; at < from + span && turns < 200; turns++) {
          const window = windowAt(at, width, from + span)
          assert(window.fromMs === at && window.toMs > at && window.toMs <= from + span)
          at = window.toMs
          width = nextWidth(width, rows.next().value as number)
          assert(Number.isInteger(width) && width >= 1 && width <= 86_400_000)
        }
      },
    ),
  )
})

test('a steady stream is soon read in windows of the wanted size', () => {
  fc.assert(
    fc.property(fc.double({ min: 0.01, max: 1000, noNaN: true }), (perMs) => {
      let width = firstWidthMs
      for (let turn = 0; turn < 12; turn++) width = nextWidth(width, Math.round(width * perMs))
      const rows = width * perMs
      assert(rows > windowRows * 0.8 && rows < windowRows * 1.25, `${rows} rows`)
    }),
  )
})
