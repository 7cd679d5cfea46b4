/**
 * The schema a session sees, as SQL that makes it again: the same text for the same schema, whatever schema name or
 * server it is in. migrations/schema.sql is this text, kept for readers and held equal by a test.
 *
 * It knows the kinds of objects that the migrations use, and throws at any other rather than leave it out.
 */
import { assert } from '../core/errors.ts'
import { type Session, transaction } from './sql.ts'

const heading =
  '-- The schema after all migrations: made by `npm run schema`, for reading. What is run are the numbered files.\n'

export function dumpSchema(session: Session): Promise<string> {
  return transaction(session, async () => {
    // Times in expressions are written as the session writes them.
    await session.query("set local timezone = 'UTC'; set local datestyle = 'ISO'")
    const { rows } = await session.query('select current_schema() as schema')
    const schema: string = rows[0].schema
    const strangers = await column(session, strangersQuery, schema)
    assert(strangers.length === 0, () => `dumpSchema does not know these: ${strangers.join(', ')}`)
    const sections = [
      ...(await column(session, tablesQuery, schema)),
      ...(await column(session, functionsQuery, schema)),
      (await column(session, commentsQuery, schema)).join('\n'),
    ]
    return `${[heading, ...sections].join('\n')}\n`
  })
}

async function column(session: Session, query: string, schema: string): Promise<string[]> {
  return (await session.query(query, [schema])).rows.map(({ text }) => text)
}

/** Partitions are data, not schema. */
const tables = `
  select c.oid, c.relname, c.relkind, c.reloptions from pg_class c
  where c.relnamespace = to_regnamespace(quote_ident($1)) and c.relkind in ('r', 'p') and not c.relispartition`

const tablesQuery = `
  with tables as (${tables}),
  lines as (
    select t.oid as table, 1 as part, a.attnum::text as place, format('  %I %s', a.attname, format_type(a.atttypid, a.atttypmod))
      || coalesce((select format(' collate %I', l.collname) from pg_collation l
                   where l.oid = a.attcollation and l.oid <> (select y.typcollation from pg_type y where y.oid = a.atttypid)), '')
      || case when a.attidentity = 'a' then ' generated always as identity' when a.attnotnull then ' not null' else '' end
      || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') as line, a.attnum as position
    from tables t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = t.oid and d.adnum = a.attnum
    union all
    select t.oid, 2, n.conname, format('  constraint %I %s', n.conname, pg_get_constraintdef(n.oid, true)), 0
    from tables t join pg_constraint n on n.conrelid = t.oid and n.contype <> 'n'
  ),
  indexes as (
    select i.indrelid as table, string_agg(replace(pg_get_indexdef(i.indexrelid, 0, true), ' ON ONLY ', ' ON ') || E';\\n', ''
      order by i.indexrelid::regclass::text) as text
    from pg_index i join tables t on t.oid = i.indrelid
    where not exists (select from pg_constraint n where n.conindid = i.indexrelid)
    group by i.indrelid
  )
  select format(E'create table %I (\\n%s\\n)', t.relname, string_agg(l.line, E',\\n' order by l.part, l.position, l.place))
    || coalesce(E'\\npartition by ' || pg_get_partkeydef(t.oid), '')
    || coalesce(E'\\nwith (' || array_to_string(t.reloptions, ', ') || ')', '') || E';\\n'
    || coalesce((select x.text from indexes x where x.table = t.oid), '') as text
  from tables t join lines l on l.table = t.oid
  group by t.oid, t.relname, t.reloptions
  order by t.relname collate "C"`

const functions = `
  select p.oid, p.proname, p.prokind from pg_proc p
  where p.pronamespace = to_regnamespace(quote_ident($1))
    and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')`

const functionsQuery = `
  select rtrim(replace(pg_get_functiondef(f.oid), format(' %I.%I(', $1::text, f.proname), format(' %I(', f.proname)), E'\\n')
    || E';\\n' as text
  from (${functions}) f
  order by f.proname collate "C", f.oid`

const commentsQuery = `
  select text from (
    select format('comment on table %I is %L;', t.relname, d.description) as text, t.relname as name, d.objsubid as place
    from (${tables}) t join pg_description d on d.objoid = t.oid and d.classoid = 'pg_class'::regclass and d.objsubid = 0
    union all
    select format('comment on column %I.%I is %L;', t.relname, a.attname, d.description), t.relname, d.objsubid
    from (${tables}) t join pg_description d on d.objoid = t.oid and d.classoid = 'pg_class'::regclass
    join pg_attribute a on a.attrelid = t.oid and a.attnum = d.objsubid and d.objsubid > 0
    union all
    select format('comment on %s %I is %L;', case f.prokind when 'p' then 'procedure' else 'function' end, f.proname,
      d.description), f.proname, 0
    from (${functions}) f join pg_description d on d.objoid = f.oid and d.classoid = 'pg_proc'::regclass
  ) comments
  order by name collate "C", place`

const strangersQuery = `
  select format('%s (%s)', c.relname, c.relkind) as text from pg_class c
  where c.relnamespace = to_regnamespace(quote_ident($1)) and c.relkind not in ('r', 'p', 'i', 'I')
    and not (c.relkind = 'S' and exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i'))
  union all
  select format('type %s', y.typname) from pg_type y
  where y.typnamespace = to_regnamespace(quote_ident($1)) and y.typtype in ('e', 'd', 'r')
  union all
  select format('trigger %s', g.tgname) from pg_trigger g join pg_class c on c.oid = g.tgrelid
  where c.relnamespace = to_regnamespace(quote_ident($1)) and not g.tgisinternal
  union all
  select format('policy %s', p.polname) from pg_policy p join pg_class c on c.oid = p.polrelid
  where c.relnamespace = to_regnamespace(quote_ident($1))`
