/** Judges events of Kafka by PostgreSQL. The path and the data travel as parameters. */
import type pg from 'pg'
import { quoted } from '../schema/sql.ts'
import type { Judge } from './judge.ts'
import { jsonpathSql } from './selection.ts'

export type Ask = (query: pg.QueryConfig) => Promise<pg.QueryResult>

/** All partitions ask at once, a connection answers one after the other. */
export function askInTurn(client: pg.Client): Ask {
  let last: Promise<unknown> = Promise.resolve()
  return (query) => {
    const answer = last.then(() => client.query(query))
    last = answer.catch(() => {})
    return answer
  }
}

/** Data of records is checked by the decoder: jsonb takes it. */
export function jsonpathJudge(ask: Ask, jsonpath: string): Judge {
  return async (events) => {
    const { rows } = await ask({
      text: `SELECT ${jsonpathSql('data::jsonb', '$2::jsonpath')} AS fits FROM unnest($1::text[]) WITH ORDINALITY AS e (data, at) ORDER BY at`,
      values: [events.map(({ data }) => data), jsonpath],
    })
    return rows.map(({ fits }) => fits as boolean)
  }
}

/** False for what a row below the cuts is about: a producer's second copy of an event that the replay takes from PostgreSQL. */
export function unstoredJudge(ask: Ask, table: string, topic: string, cuts: Readonly<Record<string, number>>): Judge {
  const partitions = Object.keys(cuts).map(Number)
  return async (events) => {
    const { rows } = await ask({
      text: `SELECT e.id::text AS id FROM ${quoted(table)} e
       LEFT JOIN unnest($3::int[], $4::bigint[]) AS c (part, cut) ON c.part = e.kafka_partition
       WHERE e.id = ANY ($1::uuid[]) AND (e.kafka_topic <> $2 OR e.kafka_offset < c.cut)`,
      values: [events.map(({ id }) => id), topic, partitions, Object.values(cuts)],
    })
    const stored = new Set(rows.map(({ id }) => id as string))
    return events.map(({ id }) => !stored.has(id))
  }
}
