-- Least privilege, for databases whose fleet does not own its tables. Not run by `millrace migrate`: run it as the owner of
-- the schema, after migrating, with the schema first in the search_path. It may be run again at any time.
--
-- Grants to two roles that cannot log in (made here if the owner may make roles): give them to the users that can, as in
-- `grant millrace_fleet to ingest`.

do $$
declare
  fleet constant text := 'millrace_fleet';
  reader constant text := 'millrace_reader';
  home constant text := current_schema();
  name text;
begin
  foreach name in array array[fleet, reader] loop
    if to_regrole(name) is null then
      execute format('create role %I nologin', name);
    end if;
    execute format('grant usage on schema %I to %I', home, name);
  end loop;

  -- The fleet moves the ledger, writes rejects, copies events, and asks which record made a row. It deletes nothing.
  execute format('grant select, insert, update on ledger to %I', fleet);
  execute format('grant select, insert on rejects, cloud_events to %I', fleet);
  execute format('grant select on millrace_migrations to %I', fleet);

  -- Rejects hold bytes that nobody has looked at yet: not for every reader.
  execute format('grant select on cloud_events, ledger, millrace_migrations to %I', reader);

  -- A COPY into a day needs the right on that very table. New days take over the grants of the parent; these exist already.
  for name in select i.inhrelid::regclass::text from pg_inherits i where i.inhparent = 'cloud_events'::regclass loop
    execute format('grant select, insert on %s to %I', name, fleet);
  end loop;

  -- Only the owner of a table can attach a partition. So the one function that does runs with the rights of its owner, and
  -- only the fleet may call it.
  execute format('alter function millrace_make_partition(regclass, date) security definer set search_path = %I, pg_temp', home);
  revoke execute on function millrace_make_partition(regclass, date) from public;
  execute format('grant execute on function millrace_make_partition(regclass, date) to %I', fleet);
end
$$;
