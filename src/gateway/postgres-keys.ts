/**
 * Requests that may be sent twice. The key is written down before anything is done, and what was answered behind it; between the two the server holds a
 * lock that dies with it. So a second sending finds one of four: nothing, an answer, somebody at work, or a server that died at it.
 */
import type { Pool } from './postgres-pool.ts'
import { problemOf, RequestError } from './problem.ts'
import type { Answer } from './route.ts'
import type { Keys } from './server.ts'

export const postgresKeys = (pool: Pool): Keys => ({
  carryOut: (key, requestHash, as, work) =>
    pool.with(async (session) => {
      const { rows: locks } = await session.query(
        "select pg_try_advisory_lock(hashtext('millrace request'), hashtext($1)) as locked",
        [key],
      )
      if (!locks[0].locked)
        throw repeated('The request with this key is under way.', 'Wait for it, then send it again.')
      try {
        await session.query("delete from gateway_requests where made_at < now() - interval '1 day'")
        const { rows } = await session.query('select request_hash, status, body from gateway_requests where key = $1', [
          key,
        ])
        const before = rows[0] as { request_hash: string; status: number | null; body: unknown } | undefined
        if (before !== undefined) {
          if (before.request_hash !== requestHash)
            throw repeated('The key was used for another request.', 'Take a key of its own for each request.', 422)
          if (before.status !== null) return remembered(before.status, before.body)
          if (as === 'doubt') {
            throw repeated(
              'The server died at the request with this key: it may have been carried out, or not.',
              'Look how things are, then decide anew under another key.',
            )
          }
        } else
          await session.query('insert into gateway_requests (key, request_hash) values ($1, $2)', [key, requestHash])
        return await done(await carriedOut(before !== undefined))
      } finally {
        await session
          .query("select pg_advisory_unlock(hashtext('millrace request'), hashtext($1))", [key])
          .catch(() => {})
      }

      async function carriedOut(again: boolean): Promise<Answer> {
        try {
          return await work(again)
        } catch (error) {
          // Refused: nothing was done. Of a server that broke off at it nobody can tell.
          if (as === 'again' || (problemOf(error)?.problem.status ?? 500) < 500)
            await session.query('delete from gateway_requests where key = $1', [key]).catch(() => {})
          throw error
        }
      }

      async function done(answer: Answer): Promise<Answer> {
        await session.query('update gateway_requests set status = $2, body = $3 where key = $1', [
          key,
          answer.status,
          answer.body === undefined ? null : JSON.stringify(answer.body),
        ])
        return answer
      }
    }),
})

const remembered = (status: number, body: unknown): Answer => ({
  status,
  ...(body !== null && { body }),
  headers: { 'idempotency-replayed': 'true' },
})

const repeated = (what: string, remedy: string, status = 409) =>
  new RequestError('REQUEST_REPEATED', what, remedy, { status })
