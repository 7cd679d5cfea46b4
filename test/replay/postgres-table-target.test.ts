import assert from 'node:assert/strict'
import { test } from 'node:test'
import type pg from 'pg'
import { openTableTarget } from '../../src/replay/postgres-table-target.ts'

/** A server that has a table or not, with rows or not, and notes what it is asked. */
function serverOf(present: boolean) {
  const asked: string[] = []
  const server = { present, rows: 0, asked }
  const query = async (sql: string) => {
    asked.push(sql)
    if (sql.includes('to_regclass')) return { rows: [{ present: server.present }] }
    if (sql.startsWith('SELECT FROM')) return { rows: Array.from({ length: Math.min(1, server.rows) }, () => ({})) }
    return { rows: [] }
  }
  return Object.assign(server, { client: { query } as unknown as pg.Client })
}

const open = (client: pg.Client) =>
  openTableTarget({ session: client, replayId: 'r-1', table: 'again', like: 'cloud_events', topic: 't', isNew: true })

test('given up, a table that was made and holds nothing goes; one with rows stays, and so does one that was there', async () => {
  for (const [present, rows, goes] of [
    [false, 0, true],
    [false, 1, false],
    [true, 0, false],
  ] as const) {
    const server = serverOf(present)
    const target = await open(server.client)
    server.rows = rows
    await target.discard()
    assert.equal(
      server.asked.some((sql) => sql.startsWith('DROP')),
      goes,
    )
  }
})
