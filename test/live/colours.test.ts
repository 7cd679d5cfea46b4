import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rooms } from '../../src/core/marks.ts'
import {
  colourRules,
  contrast,
  heatColours,
  inkOn,
  pairs,
  roomColours,
  surfaces,
  themes,
} from '../../src/live/colours.ts'
import { heatSteps } from '../../src/live/partitions.ts'

test('contrast is that of WCAG', () => {
  assert.equal(contrast('#000000', '#ffffff'), 21)
  assert.equal(contrast('#777777', '#777777'), 1)
  // The well-known pair on either side of 4.5 on white.
  assert.ok(contrast('#767676', '#ffffff') > 4.5 && contrast('#777777', '#ffffff') < 4.5)
})

for (const theme of themes) {
  test(`every text of the ${theme} page is told from its ground`, () => {
    const weak = pairs(theme).filter(([, ink, ground]) => contrast(ink, ground) < 4.5)
    assert.deepEqual(
      weak.map(([name, ink, ground]) => `${name}: ${contrast(ink, ground).toFixed(2)}`),
      [],
    )
  })

  test(`what is no text but must be seen on the ${theme} page has 3 to 1`, () => {
    const { focus, line, card, paper } = surfaces[theme] as Record<string, string>
    for (const ground of [card, paper] as string[]) {
      assert.ok(contrast(focus as string, ground) >= 3, 'focus')
      assert.ok(contrast(line as string, ground) >= 3, `line ${contrast(line as string, ground)}`)
    }
  })

  test(`heat on the ${theme} page goes one way, so that its order is seen without colour`, () => {
    const toInk = heatColours[theme].map((colour) => contrast(colour, surfaces[theme].card as string))
    assert.equal(toInk.length, heatSteps)
    assert.deepEqual(
      toInk,
      toInk.toSorted((a, b) => a - b),
    )
  })
}

test('every room has a colour, and no two the same', () => {
  assert.deepEqual(Object.keys(roomColours), [...rooms])
  for (const look of ['light', 'dark', 'terminal'] as const)
    assert.equal(new Set(rooms.map((room) => roomColours[room][look])).size, rooms.length)
})

test('the table becomes variables for both themes', () => {
  const rules = colourRules()
  assert.match(rules, /^:root\{--paper:#f5f6f8;/)
  assert.match(rules, /@media \(prefers-color-scheme:dark\)\{:root\{--paper:#0e1117;/)
  assert.ok(rules.includes(`--h5-ink:${inkOn(heatColours.light[5] as string)}`))
})
