/** Judges events of Kafka by PostgreSQL. The path and the data travel as parameters. */
import type pg from 'pg'
import { quoted } from '../schema/sql.ts'
import type { Judge } from './judge.ts'
import { jsonpathSql } from './selection.ts'

/** Data of records is checked by the decoder: jsonb takes it. */
export function jsonpathJudge(client: pg.Client, jsonpath: string): Judge {
  return async (events) => {
    const { rows } = await client.query({
      text: `SELECT ${jsonpathSql('data::jsonb', '$2::jsonpath')} AS fits FROM unnest($1::text[]) WITH ORDINALITY AS e (data, at) ORDER BY at`,
      values: [events.map(({ data }) => data), jsonpath],
      rowMode: 'array',
    })
    return (rows as [boolean][]).map(([fits]) => fits)
  }
}

/** False for what a row below the cuts is about: a producer's second copy of an event that the replay takes from PostgreSQL. */
export function unstoredJudge(
  client: pg.Client,
  table: string,
  topic: string,
  cuts: Readonly<Record<string, number>>,
): Judge {
  const partitions = Object.keys(cuts).map(Number)
  return async (events) => {
    const { rows } = await client.query(
      `SELECT e.id::text AS id FROM ${quoted(table)} e
       LEFT JOIN unnest($3::int[], $4::bigint[]) AS c (part, cut) ON c.part = e.kafka_partition
       WHERE e.id = ANY ($1::uuid[]) AND (e.kafka_topic <> $2 OR e.kafka_offset < c.cut)`,
      [events.map(({ id }) => id), topic, partitions, Object.values(cuts)],
    )
    const stored = new Set(rows.map(({ id }) => id as string))
    return events.map(({ id }) => !stored.has(id))
  }
}
