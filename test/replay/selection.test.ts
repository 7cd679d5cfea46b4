import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Selection } from '../../src/replay/description.ts'
import { conditionsSql, matcher } from '../../src/replay/selection.ts'

const all: Selection = { types: [], tenants: [], subjects: [], sources: [], keys: [], jsonpath: null }
const literal = (text: string) => `'${text.replaceAll("'", "''")}'`
const event = { type: 'com.bss.order.created', tenant: 'acme', subject: 'ord_1', source: '/bss/orders' }

test('nothing named selects everything', () => {
  assert.deepEqual(conditionsSql(all, literal), [])
  assert(matcher(all)({ ...event, tenant: null, subject: null }))
})

test('names are exact, a * at the end stands for anything, lists are either-or, and all kinds must fit', () => {
  const fits = (select: Partial<Selection>) => matcher({ ...all, ...select })(event)
  assert(fits({ types: ['com.bss.order.created'] }))
  assert(fits({ types: ['x', 'com.bss.order.*'] }))
  assert(!fits({ types: ['com.bss.order'] }))
  assert(!fits({ types: ['com.bss.order.*'], tenants: ['globex'] }))
  assert(
    fits({ types: ['com.bss.order.*'], tenants: ['globex', 'acme'], subjects: ['ord_*'], sources: ['/bss/orders'] }),
  )
  assert(!matcher({ ...all, subjects: ['*'] })({ ...event, subject: null }))
})

test('in SQL every text is a literal, and signs of LIKE stand for themselves', () => {
  assert.deepEqual(
    conditionsSql(
      { ...all, types: ["a' OR true --", 'b_%\\c*', 'd'], tenants: ['t'], jsonpath: "$.a == 'x'" },
      literal,
    ),
    [
      "(type LIKE 'b\\_\\%\\\\c%' OR type IN ('a'' OR true --', 'd'))",
      "tenant_id IN ('t')",
      `coalesce(jsonb_path_query_first(data, '$.a == ''x'''::jsonpath, '{}', true), 'null') NOT IN ('null', 'false')`,
    ],
  )
})
