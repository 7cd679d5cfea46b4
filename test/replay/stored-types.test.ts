import assert from 'node:assert/strict'
import { test } from 'node:test'
import { oddTypes } from '../../src/replay/stored-types.ts'

const known = ['com.bss.order.created', 'com.bss.order.cancelled', 'com.bss.customer.created']

test('what no stored event has is told, with a guess; with a star as well', () => {
  assert.deepEqual(oddTypes(['com.bss.order.created', 'com.bss.order.*', '*'], known), [])
  assert.deepEqual(oddTypes(['com.bss.order.creatd', 'com.bss.ordr.*', 'x'], known), [
    "No stored event has the type 'com.bss.order.creatd'; did you mean 'com.bss.order.created'?",
    "No stored event has a type that begins with 'com.bss.ordr.'",
    "No stored event has the type 'x'",
  ])
  assert.deepEqual(oddTypes(['x'], null), [])
})
