-- Events, one row each, in partitions of a UTC day.
--
-- The key is made from the event alone (millrace_event_id), and its first 48 bits are the event's own millisecond. So the
-- key is also what the table is partitioned by, and a primary key on it alone is unique over all days.

create table cloud_events (
  id uuid not null primary key,
  event_time timestamptz not null,
  source text collate "C" not null,
  event_id text collate "C" not null,
  type text collate "C" not null,
  subject text collate "C",
  tenant_id text collate "C",
  data jsonb,
  extensions jsonb,
  kafka_topic text collate "C" not null,
  kafka_partition integer not null,
  kafka_offset bigint not null,
  kafka_time timestamptz not null,
  ingested_at timestamptz not null default now()
)
partition by range (id);

create index on cloud_events (type, event_time);

comment on table cloud_events is 'CloudEvents, one row per (source, event_id). Ask by id >= millrace_id_floor(time) to touch only the days in question, also where the time is now() - interval.';
comment on column cloud_events.id is 'millrace_event_id(event_time, source, event_id): the same event has the same id in every process and every replay.';
comment on column cloud_events.event_time is 'The event''s own time, or the record''s Kafka timestamp where it has none.';
comment on column cloud_events.event_id is 'The CloudEvents attribute id, unique within source.';
comment on column cloud_events.extensions is 'Extension attributes that have no column of their own.';
comment on column cloud_events.kafka_offset is 'With kafka_topic and kafka_partition: the record that made this row.';

-- One expression, so that the planner can put it in place of the call: the condition then costs little where it is checked
-- row by row. Times outside of the years 1970 to 9999 count as their nearest end.
create function millrace_id_floor(moment timestamptz) returns uuid
language sql immutable parallel safe
return case when moment is not null then (
  lpad(to_hex(floor(extract(epoch from
    least(greatest(moment, timestamptz '1970-01-01 00:00:00+00'), timestamptz '10000-01-01 00:00:00+00')
      - timestamptz '1970-01-01 00:00:00+00') * 1000)::bigint), 12, '0')
  || '00000000000000000000'
)::uuid end;

comment on function millrace_id_floor is 'The lowest id an event of this millisecond or later can have: id >= millrace_id_floor(now() - interval ''1 hour'') prunes days and uses the key.';

create function millrace_event_id(event_time timestamptz, source text, event_id text) returns uuid
language plpgsql immutable strict parallel safe
as $$
declare
  tail bytea := substr(sha256(convert_to(source || chr(10) || event_id, 'UTF8')), 1, 10);
begin
  if event_time < timestamptz '1970-01-01 00:00:00+00' or event_time >= timestamptz '10000-01-01 00:00:00+00' then
    raise exception 'no event has an id at %', event_time using errcode = '22008';
  end if;
  tail := set_byte(tail, 0, 112 | (get_byte(tail, 0) & 15));
  tail := set_byte(tail, 2, 128 | (get_byte(tail, 2) & 63));
  return (left(millrace_id_floor(event_time)::text, 13) || encode(tail, 'hex'))::uuid;
end
$$;

comment on function millrace_event_id is 'The key of an event: a UUIDv7 of its millisecond (rounded down) and 74 bits of sha256(source, line feed, id).';

-- Makes the partition of one UTC day and says whether it had to. Created alone and then attached: that takes no lock which
-- readers of the parent or a COPY into other days would wait for, as PARTITION OF would. Ten callers may come at once.
create function millrace_make_partition(parent regclass, day date) returns boolean
language plpgsql
as $$
declare
  home text;
  child text;
  existing regclass;
  lower_time timestamptz := day::timestamp at time zone 'UTC';
  upper_time timestamptz := (day + 1)::timestamp at time zone 'UTC';
  granted record;
begin
  perform pg_advisory_xact_lock(hashtext('millrace_make_partition'), hashtext(parent::oid::text));
  select n.nspname, c.relname || to_char(day, '_YYYY_MM_DD') into strict home, child
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = parent;

  if octet_length(child) > 63 then
    raise exception 'the name % is too long', child using errcode = '42622';
  end if;

  existing := to_regclass(format('%I.%I', home, child));
  if existing is not null then
    if exists (select from pg_inherits i where i.inhparent = parent and i.inhrelid = existing and not i.inhdetachpending) then
      return false;
    end if;
    raise exception 'table % exists but is not a partition of %', existing, parent using errcode = 'MR003';
  end if;

  execute format('create table %I.%I (like %s including all, constraint day check (event_time >= %L and event_time < %L))',
    home, child, parent, lower_time, upper_time);
  execute format('alter table %s attach partition %I.%I for values from (%L) to (%L)',
    parent, home, child, millrace_id_floor(lower_time), millrace_id_floor(upper_time));

  -- A COPY into the day itself asks for rights on the day, and LIKE does not take them over.
  for granted in
    select a.privilege_type as privilege, case when a.grantee = 0 then 'public' else a.grantee::regrole::text end as grantee
    from pg_class c, aclexplode(c.relacl) a where c.oid = parent and a.grantee <> c.relowner
  loop
    execute format('grant %s on %I.%I to %s', granted.privilege, home, child, granted.grantee);
  end loop;
  return true;
end
$$;

comment on function millrace_make_partition is 'Makes the partition of a UTC day of a table shaped like cloud_events, without stalling readers or writers; false when it was there. MR003: a table of that name exists and is no partition.';
