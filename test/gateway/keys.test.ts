/** Requests under a key, over a session that understands the few statements that are asked of it: what a second sending finds, in every order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FatalError } from '../../src/core/errors.ts'
import { postgresKeys } from '../../src/gateway/postgres-keys.ts'
import type { Answer } from '../../src/gateway/route.ts'

interface Row {
  request_hash: string
  status: number | null
  body: unknown
}

function world() {
  const rows = new Map<string, Row>()
  const locks = new Set<string>()
  const query = async (text: string, [key, ...more]: unknown[] = []): Promise<{ rows: unknown[] }> => {
    const one = key as string
    if (text.includes('pg_try_advisory_lock')) {
      const locked = !locks.has(one)
      locks.add(one)
      return { rows: [{ locked }] }
    }
    if (text.includes('pg_advisory_unlock')) locks.delete(one)
    else if (text.startsWith('select')) return { rows: rows.has(one) ? [rows.get(one)] : [] }
    else if (text.startsWith('insert')) rows.set(one, { request_hash: more[0] as string, status: null, body: null })
    else if (text.startsWith('update')) {
      const body = more[1] === null ? null : JSON.parse(more[1] as string)
      rows.set(one, { ...(rows.get(one) as Row), status: more[0] as number, body })
    } else if (text.startsWith('delete') && key !== undefined) rows.delete(one)
    return { rows: [] }
  }
  const keys = postgresKeys({
    query,
    with: (work: (session: never) => unknown) => work({ query } as never),
    close: async () => {},
  } as never)
  return { rows, locks, keys }
}

const answer: Answer = { status: 201, body: { id: 'r-1' } }
const told = (code: string, status: number) => (error: unknown) => {
  assert.ok(error instanceof FatalError)
  assert.deepEqual([error.code, (error as { status?: number }).status], [code, status])
  return true
}

test('carried out once, answered twice; another request under the key is refused', async () => {
  const { keys, locks } = world()
  let times = 0
  const work = async () => {
    times++
    return answer
  }
  assert.deepEqual(await keys.carryOut('k', 'h', 'again', work), answer)
  const second = await keys.carryOut('k', 'h', 'again', work)
  assert.deepEqual(
    [second.status, second.body, second.headers],
    [201, { id: 'r-1' }, { 'idempotency-replayed': 'true' }],
  )
  await assert.rejects(keys.carryOut('k', 'other', 'again', work), told('REQUEST_REPEATED', 422))
  assert.equal(times, 1)
  assert.equal(locks.size, 0)
})

test('while it is under way a second one is told so, and does nothing', async () => {
  const { keys } = world()
  const gate = Promise.withResolvers<Answer>()
  const first = keys.carryOut('k', 'h', 'again', () => gate.promise)
  await new Promise(setImmediate)
  await assert.rejects(
    keys.carryOut('k', 'h', 'again', () => assert.fail('twice')),
    told('REQUEST_REPEATED', 409),
  )
  gate.resolve(answer)
  await first
})

test('behind the death of a server: done again where that is safe, and in doubt where it is not', async () => {
  const { keys, rows } = world()
  rows.set('k', { request_hash: 'h', status: null, body: null })
  await assert.rejects(
    keys.carryOut('k', 'h', 'doubt', () => assert.fail('twice')),
    told('REQUEST_REPEATED', 409),
  )
  const seen: boolean[] = []
  await keys.carryOut('k', 'h', 'again', async (again) => {
    seen.push(again)
    return answer
  })
  assert.deepEqual(seen, [true])
  assert.equal(rows.get('k')?.status, 201)
})

test('what was refused may be sent again; what failed otherwise stays in doubt', async () => {
  const { keys, rows } = world()
  const refuse = () => Promise.reject(new FatalError('USAGE', 'No.', 'Other.'))
  await assert.rejects(keys.carryOut('k', 'h', 'doubt', refuse), { code: 'USAGE' })
  assert.equal(rows.size, 0)
  const fail = () => Promise.reject(new TypeError('broken'))
  await assert.rejects(keys.carryOut('k', 'h', 'doubt', fail), TypeError)
  assert.equal(rows.get('k')?.status, null)
  await assert.rejects(keys.carryOut('k', 'h', 'doubt', refuse), told('REQUEST_REPEATED', 409))
  const away = () => Promise.reject(new FatalError('POSTGRES_UNREACHABLE', 'It went at COMMIT.', 'Look.'))
  await assert.rejects(keys.carryOut('third', 'h', 'doubt', away), { code: 'POSTGRES_UNREACHABLE' })
  assert.equal(rows.get('third')?.status, null)
  await assert.rejects(keys.carryOut('other', 'h', 'again', fail), TypeError)
  assert.equal(rows.has('other'), false)
})
