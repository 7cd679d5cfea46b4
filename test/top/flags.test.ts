import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress, readTopFlags, topFlags } from '../../src/top/flags.ts'

test('what is left out is the usual', () => {
  assert.deepEqual(readTopFlags({}), { at: [], stack: null, everyMs: 1000, once: false, json: false })
  assert.equal(topFlags.length, 5)
})

test('addresses come separated by commas or spaces', () => {
  const { at } = readTopFlags({ at: ['a:9464,b:9464', '[::1]:80'] })
  assert.deepEqual(at, ['a:9464', 'b:9464', '[::1]:80'])
  assert.deepEqual(parseAddress('[::1]:80'), { host: '::1', port: 80 })
  assert.deepEqual(parseAddress('millrace-0.millrace:9464'), { host: 'millrace-0.millrace', port: 9464 })
})

test('what cannot be is refused with what could', () => {
  for (const [flags, says] of [
    [{ at: ['http://a:1'] }, /--at reads 'http:\/\/a:1'/],
    [{ at: ['a'] }, /host:port/],
    [{ at: ['a:0'] }, /--at/],
    [{ at: ['a:65536'] }, /--at/],
    [{ at: [''] }, /--at/],
    [{ every: '10ms' }, /200 ms or more|--every/],
    [{ every: 'often' }, /--every/],
  ] as const) {
    assert.throws(
      () => readTopFlags(flags),
      (error: Error & { code?: string }) => error.code === 'USAGE' && says.test(error.message + JSON.stringify(error)),
    )
  }
})
