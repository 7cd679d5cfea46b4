-- Least privilege, for databases whose fleet does not own its tables. Not run by `millrace migrate`: run it as the owner of
-- the schema, after every migration, with the schema first in the search_path. It may be run again at any time.
--
-- Grants to three roles that cannot log in (made here if the owner may make roles): give them to the users that can, as in
-- `grant millrace_fleet to ingest`.
--
--   millrace_fleet     `millrace consume`, `doctor`, `verify`
--   millrace_operator  `millrace rejects`, `offsets`, `replay`, `serve`, `state`, and `partitions list` and `make`
--   millrace_reader    whoever asks for events, also by `millrace state`, and makes no snapshots
--
-- What only an owner may do stays with the owner: `millrace migrate`, sealing a day, and dropping or detaching one.

do $$
declare
  fleet constant text := 'millrace_fleet';
  operator constant text := 'millrace_operator';
  reader constant text := 'millrace_reader';
  home constant text := current_schema();
  name text;
begin
  foreach name in array array[fleet, operator, reader] loop
    if to_regrole(name) is null then
      execute format('create role %I nologin', name);
    end if;
    execute format('grant usage on schema %I to %I', home, name);
    -- Everybody has these two, unless somebody has taken them away; then giving them back takes the owner of the database.
    if not has_database_privilege(name, current_database(), 'CONNECT') then
      execute format('grant connect on database %I to %I', current_database(), name);
    end if;
  end loop;
  -- Duplicates are set apart in temporary tables.
  if not has_database_privilege(fleet, current_database(), 'TEMPORARY') then
    execute format('grant temporary on database %I to %I', current_database(), fleet);
  end if;

  -- The fleet moves the ledger, writes rejects, copies events, and asks which record made a row. It deletes nothing.
  execute format('grant select, insert, update on ledger to %I', fleet);
  execute format('grant select, insert on rejects, cloud_events to %I', fleet);
  execute format('grant select on millrace_migrations to %I', fleet);

  -- An operator judges rejects and moves the ledger by hand, and each time leaves a row in the audit that nobody here can
  -- change or take away. What a reject says can not be changed either, only what became of it.
  execute format('grant select on rejects, ledger, audit, cloud_events, millrace_migrations to %I', operator);
  execute format('grant update (state, state_at, audit_id, redrive_seq) on rejects to %I', operator);
  execute format('grant insert, update on ledger to %I', operator);
  execute format('grant insert on audit to %I', operator);
  -- Snapshots can be made anew from the events; a saved position that is taken away leaves its offsets in the audit.
  execute format('grant select, insert, update, delete on state_snapshots to %I', operator);
  execute format('grant select, insert, delete on saved_positions to %I', operator);
  -- A replay is noted, and how far it is.
  execute format('grant select, insert, update on replays to %I', operator);
  execute format('grant select, insert, update, delete on gateway_jobs, gateway_requests to %I', operator);

  -- Rejects hold bytes that nobody has looked at yet: not for every reader.
  execute format('grant select on cloud_events, ledger, millrace_migrations, state_snapshots to %I', reader);

  -- A COPY into a day needs the right on that very table. New days take over the grants of the parent; these exist already.
  for name in select i.inhrelid::regclass::text from pg_inherits i where i.inhparent = 'cloud_events'::regclass loop
    execute format('grant select, insert on %s to %I', name, fleet);
  end loop;

  -- Only the owner of a table can attach a partition. So the one function that does runs with the rights of its owner.
  execute format('alter function millrace_make_partition(regclass, date) security definer set search_path = %I, pg_temp', home);
  -- What changes something is not for everybody; the functions that only compute are.
  for name in
    select p.oid::regprocedure::text from pg_proc p
    where p.pronamespace = home::regnamespace and p.proname in ('millrace_advance', 'millrace_make_partition')
  loop
    execute format('revoke execute on routine %s from public', name);
    execute format('grant execute on routine %s to %I', name, fleet);
  end loop;
  execute format('grant execute on function millrace_make_partition(regclass, date) to %I', operator);
end
$$;
