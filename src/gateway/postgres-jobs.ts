/** Jobs as PostgreSQL keeps them: what was asked for beside how far the replay is. */
import type { Session } from '../schema/sql.ts'
import type { JobStore, StoredJob } from './job.ts'

const utc = (column: string) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

const select = `select j.id, j.description, j.wanted, j.failure, ${utc('j.made_at')} as "madeAt",
  case when r.id is not null then jsonb_build_object('state', r.state, 'failure', r.failure, 'savedAt', ${utc('r.saved_at')},
    'events', coalesce(r.saved -> 'events', '0'), 'bytes', coalesce(r.saved -> 'bytes', '0'),
    'atMs', floor((r.saved #>> '{position,after,micros}')::float8 / 1000)) end as replay
  from gateway_jobs j left join replays r on r.id = j.id`

export const postgresJobs = (session: Session): JobStore => ({
  async insert(description, wanted) {
    const { rows } = await session.query(
      'insert into gateway_jobs (id, description, wanted) values ($1, $2, $3) on conflict do nothing returning id',
      [description.id, JSON.stringify(description), wanted],
    )
    return rows.length === 1
  },

  async remove(id) {
    await session.query('delete from gateway_jobs where id = $1', [id])
  },

  async want(id, wanted, { description, failure = null } = {}) {
    await session.query(
      'update gateway_jobs set wanted = $2, failure = $3, description = coalesce($4, description) where id = $1',
      [id, wanted, failure, description === undefined ? null : JSON.stringify(description)],
    )
  },

  async find(id) {
    const { rows } = await session.query(`${select} where j.id = $1`, [id])
    return (rows[0] as StoredJob | undefined) ?? null
  },

  async list(limit, after) {
    const { rows } = await session.query(
      `${select} where $2::timestamptz is null or (j.made_at, j.id) < ($2::timestamptz, $3)
       order by j.made_at desc, j.id desc limit $1`,
      [limit, after?.madeAt ?? null, after?.id ?? null],
    )
    return rows as StoredJob[]
  },

  async waiting() {
    const { rows } = await session.query(
      `${select} where j.wanted in ('running', 'paused')
         and (r.state in ('running', 'stopped') or (r.id is null and j.made_at < now() - interval '1 minute'))
       order by j.made_at, j.id limit 100`,
    )
    return rows as StoredJob[]
  },
})
