import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { CopyWriter } from '../../src/core/copy.ts'
import {
  ARRAY,
  depthMax,
  FALSE,
  JsonScanner,
  membersMax,
  NULL,
  NUMBER,
  OBJECT,
  type ScanFault,
  STRING,
  STRING_ESCAPED,
  TRUE,
} from '../../src/core/json-scan.ts'
import { runCopies } from '../../src/flow/persist/copy-transaction.ts'
import { useServer } from '../schema/database.ts'
import * as texts from './texts.ts'

const server = useServer()
const scanner = new JsonScanner()
const scanValue = (bytes: Uint8Array) => scanner.value(bytes, 0, bytes.length)
const scanObject = (text: string) => scanner.object(Buffer.from(text), 0, Buffer.byteLength(text))

function parses(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString('utf8'))
    return true
  } catch {
    return false
  }
}

/** Why a text that JSON.parse takes is refused all the same, each with what must then be in the text. */
const beyondJson: Partial<Record<ScanFault, RegExp>> = {
  nul_character: /\\u0000/,
  lone_surrogate: /\\u[dD][89a-fA-F]/,
  number_out_of_range: /[eE][+-]?\d{4}|[\d.]{1001}/,
  too_deep: /[[{]{100}/,
}

test('takes what JSON.parse takes, and nothing else, but for the faults that PostgreSQL would find', () => {
  const seen = new Map<ScanFault | null, number>()
  fc.assert(
    fc.property(texts.text, (bytes) => {
      const fault = scanValue(bytes)
      seen.set(fault, (seen.get(fault) ?? 0) + 1)
      if (!isUtf8(bytes)) {
        if (fault === null) assert.ok(scanner.members.nonAscii, 'whoever calls is told that a UTF-8 check is owed')
        return
      }
      const parsed = parses(bytes)
      if (fault === null) assert.ok(parsed)
      else if (parsed)
        assert.match(bytes.toString('utf8'), beyondJson[fault] ?? assert.fail(`${fault}, but it is JSON`))
    }),
    { numRuns: 20_000 },
  )
  for (const fault of [null, 'empty', 'byte_order_mark', 'not_json', 'truncated', 'trailing_bytes'] as const) {
    assert.ok((seen.get(fault) ?? 0) > 3, `${fault} was met ${seen.get(fault)} times`)
  }
  for (const fault of ['nul_character', 'lone_surrogate', 'control_character', 'number_out_of_range'] as const) {
    assert.ok((seen.get(fault) ?? 0) > 3, `${fault} was met ${seen.get(fault)} times`)
  }
})

test('what surrounds a text in its buffer does not matter', () => {
  fc.assert(
    fc.property(texts.text, texts.text, texts.text, (bytes, before, behind) => {
      const alone = scanner.object(bytes, 0, bytes.length)
      const { count, end, nonAscii } = scanner.members
      const places = Array.from(scanner.members.start.subarray(0, count))
      const within = Buffer.concat([before, bytes, behind])
      const fault = scanner.object(within, before.length, before.length + bytes.length)
      assert.equal(fault, alone)
      if (fault !== null) return
      assert.equal(scanner.members.count, count)
      assert.equal(scanner.members.nonAscii, nonAscii)
      assert.equal(scanner.members.end - before.length, end)
      assert.deepEqual(
        Array.from(scanner.members.start.subarray(0, count), (start) => start - before.length),
        places,
      )
    }),
    { numRuns: 3000 },
  )
})

const kindOf = (value: string): number => {
  if (value.startsWith('"')) return value.includes('\\') ? STRING_ESCAPED : STRING
  if (value.startsWith('{')) return OBJECT
  if (value.startsWith('[')) return ARRAY
  return { true: TRUE, false: FALSE, null: NULL }[value] ?? NUMBER
}

test('every member of the outermost object lies where it is said to lie, also when a key comes twice', () => {
  fc.assert(
    fc.property(texts.pairs, texts.gap, texts.gap, (pairs, gap, around) => {
      const bytes = Buffer.from(around + texts.objectText(pairs, gap) + around)
      assert.equal(scanner.object(bytes, 0, bytes.length), null)
      const { members } = scanner
      assert.equal(members.count, pairs.length)
      assert.equal(members.end, bytes.length - around.length)
      for (const [i, [key, value]] of pairs.entries()) {
        const kind = kindOf(value)
        const quoted = kind === STRING || kind === STRING_ESCAPED
        assert.equal(`"${bytes.toString('utf8', members.keyStart[i], members.keyEnd[i])}"`, key)
        assert.equal(members.keyEscaped[i], key.includes('\\') ? 1 : 0)
        const found = bytes.toString('utf8', members.start[i], members.stop[i])
        assert.equal(quoted ? `"${found}"` : found, value)
        assert.equal(members.kind[i], kind)
      }
    }),
    { numRuns: 3000 },
  )
})

const faults: [text: string, fault: ScanFault | null][] = [
  ['{}', null],
  ['', 'empty'],
  [' \n', 'empty'],
  ['\ufeff{}', 'byte_order_mark'],
  ['[]', 'not_an_object'],
  ['"a"', 'not_an_object'],
  ['[1,', 'truncated'],
  ['nope', 'not_json'],
  ['{"a":1', 'truncated'],
  ['{"a"', 'truncated'],
  ['{', 'truncated'],
  ['{"a":tr', 'truncated'],
  ['{"a":"b\\u00', 'truncated'],
  ['{"a":1}}', 'trailing_bytes'],
  ['{"a":1} x', 'trailing_bytes'],
  ['{"a":1,}', 'not_json'],
  ['{,}', 'not_json'],
  ['{a:1}', 'not_json'],
  ["{'a':1}", 'not_json'],
  ['{"a":01}', 'not_json'],
  ['{"a":[1}', 'not_json'],
  ['{"a":{"b":]}', 'not_json'],
  ['{"a":"\\x"}', 'not_json'],
  ['{"a":"\\u00g0"}', 'not_json'],
  ['{"a":"b\nc"}', 'control_character'],
  ['{"a":"b\0c"}', 'nul_character'],
  ['{"a":"\\u0000"}', 'nul_character'],
  ['{"\\u0000":1}', 'nul_character'],
  ['{"a":[{"\\u0000":1}]}', 'nul_character'],
  ['{"a":"\\ud83d"}', 'lone_surrogate'],
  ['{"a":"\\ud83d\\ud83d"}', 'lone_surrogate'],
  ['{"a":"\\ude00"}', 'lone_surrogate'],
  ['{"a":"\\ud83d\\ude00"}', null],
  ['{"a":1e1000}', null],
  ['{"a":1e1001}', 'number_out_of_range'],
  ['{"a":1e-1001}', 'number_out_of_range'],
  ['{"a":1e00000000000000000000001}', null],
  [`{"a":${'1'.repeat(1000)}}`, null],
  [`{"a":${'1'.repeat(1001)}}`, 'number_out_of_range'],
  [`{"a":${'['.repeat(depthMax - 1)}${']'.repeat(depthMax - 1)}}`, null],
  [`{"a":${'['.repeat(depthMax)}${']'.repeat(depthMax)}}`, 'too_deep'],
  [texts.objectText(Array.from({ length: membersMax }, (_, n) => [`"${n}"`, '1'])), null],
  [texts.objectText(Array.from({ length: membersMax + 1 }, (_, n) => [`"${n}"`, '1'])), 'too_many_attributes'],
]
for (const [text, fault] of faults) {
  const shown = text.length > 40 ? `${text.slice(0, 40)}... (${text.length})` : text
  test(`${JSON.stringify(shown)}: ${fault ?? 'good'}`, () => assert.equal(scanObject(text), fault))
}

test('a megabyte of anything is done in one pass', () => {
  const size = 1_000_000
  const bombs = [
    '[',
    '{"a":',
    '{"a":[',
    '1',
    '"\\u',
    '"\\ud83d',
    ' ',
    '"',
    ',',
    '{"a":1,',
    '\\',
    '\xff',
    '-',
    '[[],',
  ].map((unit) => Buffer.alloc(size, unit, 'latin1'))
  const started = performance.now()
  for (const bomb of bombs) {
    assert.notEqual(scanner.object(bomb, 0, size), null)
    assert.notEqual(scanner.value(bomb, 0, size), null)
  }
  const perMegabyte = (performance.now() - started) / bombs.length / 2
  assert.ok(perMegabyte < 100, `${perMegabyte.toFixed(0)} ms each`)
})

test('nothing that passes aborts a COPY: PostgreSQL takes it as jsonb', async () => {
  const session = await (await server.database({ migrated: false })).connect()
  await session.query('create table passed (n int, data jsonb)')
  const passed = fc.sample(texts.text, 40_000).filter((bytes) => scanValue(bytes) === null && isUtf8(bytes))
  // What stands at the very edge.
  for (const [text, fault] of faults) if (fault === null) passed.push(Buffer.from(text))
  assert.ok(passed.length > 5000, `${passed.length} passed`)

  const { rows } = await session.query(
    `select text from unnest($1::text[]) as u (text) where not pg_input_is_valid(text, 'jsonb')`,
    [passed.map((bytes) => bytes.toString('utf8'))],
  )
  assert.deepEqual(rows, [])

  const copy = new CopyWriter(1)
  for (const [n, bytes] of passed.entries()) {
    copy.row(2, 5 + bytes.length)
    copy.int32(n)
    copy.jsonb(bytes, 0, bytes.length)
  }
  await runCopies(session, 'COPY passed FROM STDIN (FORMAT binary)', [copy.finish()])
  const stored = await session.query(
    'select count(*)::int as different from passed join unnest($1::text[]) with ordinality u (text, n) on passed.n + 1 = u.n where passed.data <> u.text::jsonb',
    [passed.map((bytes) => bytes.toString('utf8'))],
  )
  assert.deepEqual(stored.rows, [{ different: 0 }])
})
