/**
 * What a fleet's user may lack in PostgreSQL, asked of the catalog in one question before anything is written. Whoever adds a statement to the flow adds
 * its right here and in migrations/roles.sql; test/security takes each one away and sees it named.
 */
import type { Client } from 'pg'

/** Beyond these: USAGE on the schema, INSERT on each day (COPY goes into it by name), and TEMPORARY for the staging tables of the duplicates' path. */
const tableRights = [
  ['millrace_migrations', 'SELECT'],
  ['ledger', 'SELECT'],
  ['ledger', 'INSERT'],
  ['ledger', 'UPDATE'],
  ['rejects', 'SELECT'],
  ['rejects', 'INSERT'],
] as const
const routines = ['millrace_advance', 'millrace_make_partition']

/** In words, like `INSERT on cloud_events`; empty when nothing is missing. What is not there at all is no question of rights. */
export async function lackingPostgres(client: Client, table: string): Promise<string[]> {
  const rights = [...tableRights, [table, 'SELECT'], [table, 'INSERT']]
  const { rows } = await client.query(
    `select 'USAGE on schema ' || n.nspname as lacking from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relname = 'millrace_migrations' and to_regclass('millrace_migrations') is null and not has_schema_privilege(n.oid, 'USAGE')
     union all
     select need.privilege || ' on ' || need.name
       from unnest($2::text[], $3::text[]) as need (name, privilege), to_regclass(quote_ident(need.name)) as found
       where found is not null and not has_table_privilege(found, need.privilege)
     union all
     select 'INSERT on ' || i.inhrelid::regclass from pg_inherits i
       where i.inhparent = to_regclass(quote_ident($1)) and not has_table_privilege(i.inhrelid, 'INSERT')
     union all
     select 'TEMPORARY on database ' || current_database() where not has_database_privilege(current_database(), 'TEMPORARY')
     union all
     select 'EXECUTE on ' || p.proname from pg_proc p
       where p.pronamespace = current_schema()::regnamespace and p.proname = any ($4) and not has_function_privilege(p.oid, 'EXECUTE')`,
    [table, rights.map(([name]) => name), rights.map(([, privilege]) => privilege), routines],
  )
  return rows.map((row) => row.lacking as string)
}

/** Enough of a long list to know what kind of thing is wrong. */
export function someOf(lacking: readonly string[]): string {
  return lacking.slice(0, 5).join(', ') + (lacking.length > 5 ? ` and ${lacking.length - 5} more` : '')
}
