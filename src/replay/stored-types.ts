/** Which types of events there are, so that a mistyped one is told and not taken for nothing to replay. */
import { nearest } from '../core/nearest.ts'
import { quoted, type Session } from '../schema/sql.ts'

const typesMax = 500

/** Null: too many to look through. */
export async function storedTypes(session: Session, table: string): Promise<readonly string[] | null> {
  // From one type to the next by the index on types, without reading what lies between.
  const { rows } = await session.query(
    `with recursive known as (
       (select type, 1 as place from ${quoted(table)} order by type limit 1)
       union all
       select next.type, known.place + 1 from known, lateral (
         select e.type from ${quoted(table)} e where e.type > known.type order by e.type limit 1
       ) next where known.place < ${typesMax}
     ) select type from known`,
  )
  return rows.length === typesMax ? null : rows.map(({ type }) => type as string)
}

/** Of what is selected: sentences on what no stored event has. */
export function oddTypes(selected: readonly string[], known: readonly string[] | null): string[] {
  if (known === null) return []
  return selected.flatMap((type) => {
    if (type.endsWith('*')) {
      const begins = type.slice(0, -1)
      return known.some((one) => one.startsWith(begins))
        ? []
        : [`No stored event has a type that begins with '${begins}'`]
    }
    if (known.includes(type)) return []
    const guess = nearest(type, known)
    return [`No stored event has the type '${type}'${guess === null ? '' : `; did you mean '${guess}'?`}`]
  })
}
