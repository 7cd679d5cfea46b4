import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Client } from 'pg'
import { runCopies } from '../../../src/flow/persist/copy-transaction.ts'

interface Query {
  handleCommandComplete(message: { text: string }): void
  handleReadyForQuery(): void
  handleError(error: Error): void
}

function fakeClient() {
  let query: Query | undefined
  const take = (one: Query) => {
    query = one
  }
  return { client: { query: take } as unknown as Client, query: () => query as Query }
}

test('whoever sent a transaction knows how far the server had answered when the line was lost', async () => {
  const { client, query } = fakeClient()
  const tags: string[] = []
  const sent = runCopies(client, 'BEGIN;CALL f();COPY t FROM STDIN;COMMIT', [], tags)
  query().handleCommandComplete({ text: 'BEGIN' })
  query().handleCommandComplete({ text: 'CALL' })
  query().handleError(new Error('the line is lost'))
  await assert.rejects(sent, /the line is lost/)
  assert.deepEqual(tags, ['BEGIN', 'CALL'])
})

test('a transaction that was carried out answers the tags of its statements', async () => {
  const { client, query } = fakeClient()
  const sent = runCopies(client, 'BEGIN;COMMIT', [])
  for (const text of ['BEGIN', 'COMMIT']) query().handleCommandComplete({ text })
  query().handleReadyForQuery()
  assert.deepEqual(await sent, ['BEGIN', 'COMMIT'])
})
