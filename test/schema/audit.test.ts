/** An action is one row: who, what, to what, and whatever else is worth knowing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { audit } from '../../src/schema/audit.ts'
import { transaction } from '../../src/schema/sql.ts'
import { useServer } from './database.ts'

const server = useServer()

test('a row says who did what, and is not there if the action is not', async () => {
  const session = await (await server.database()).connect()
  const entry = { actor: 'ann@desk', action: 'rejects discard', target: 'cloud-events' }
  const id = await audit(session, {
    ...entry,
    detail: { discarded: 3, filter: { code: ['not_json'] }, note: `it's "odd"` },
  })
  await audit(session, entry)
  const failing = transaction(session, async () => {
    await audit(session, entry)
    throw new Error('changed my mind')
  })
  await assert.rejects(failing, /changed my mind/)
  const { rows } = await session.query(
    'select id::text, actor, action, target, detail, db_user = session_user as by_us, at <= now() as timed from audit order by id',
  )
  const common = { ...entry, by_us: true, timed: true }
  assert.deepEqual(rows, [
    { id, ...common, detail: { discarded: 3, filter: { code: ['not_json'] }, note: `it's "odd"` } },
    { id: '2', ...common, detail: {} },
  ])
})
