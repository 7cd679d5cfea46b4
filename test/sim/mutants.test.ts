/** The table of mutants cannot rot: each still applies to the source as it is. That each is caught, `npm run sim -- --mutants` shows. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mutants } from './mutants.ts'
import { mutated } from './mutate.ts'

test('every mutant still applies, once, and the file is still TypeScript', () => {
  for (const mutant of mutants) assert.doesNotThrow(() => mutated(mutant))
  assert.equal(new Set(mutants.map(({ name }) => name)).size, mutants.length)
  assert(mutants.length >= 15)
})
