-- The schema after all migrations: made by `npm run schema`, for reading. What is run are the numbered files.

create table audit (
  id bigint generated always as identity,
  at timestamp with time zone not null default now(),
  db_user text collate "C" not null default SESSION_USER,
  actor text collate "C" not null,
  action text collate "C" not null,
  target text collate "C" not null,
  detail jsonb not null default '{}'::jsonb,
  constraint audit_pkey PRIMARY KEY (id)
);

create table cloud_events (
  id uuid not null,
  event_time timestamp with time zone not null,
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
  kafka_time timestamp with time zone not null,
  ingested_at timestamp with time zone not null default now(),
  data_bytes bytea,
  constraint cloud_events_pkey PRIMARY KEY (id)
)
partition by RANGE (id);
CREATE INDEX cloud_events_type_event_time_idx ON cloud_events USING btree (type, event_time);

create table gateway_jobs (
  id text collate "C" not null,
  description jsonb not null,
  wanted text collate "C" not null,
  failure text,
  made_at timestamp with time zone not null default now(),
  constraint gateway_jobs_pkey PRIMARY KEY (id),
  constraint gateway_jobs_wanted CHECK (wanted = ANY (ARRAY['running'::text, 'paused'::text, 'stopped'::text]))
);
CREATE INDEX gateway_jobs_made_at_id_idx ON gateway_jobs USING btree (made_at, id);

create table gateway_requests (
  key text collate "C" not null,
  request_hash text collate "C" not null,
  status smallint,
  body json,
  made_at timestamp with time zone not null default now(),
  constraint gateway_requests_pkey PRIMARY KEY (key)
);
CREATE INDEX gateway_requests_made_at_idx ON gateway_requests USING btree (made_at);

create table ledger (
  consumer text collate "C" not null,
  topic text collate "C" not null,
  partition integer not null,
  start_offset bigint not null,
  next_offset bigint not null,
  published_offset bigint,
  streams jsonb not null default '{}'::jsonb,
  stored bigint not null default 0,
  rejected bigint not null default 0,
  duplicated bigint not null default 0,
  skipped bigint not null default 0,
  updated_at timestamp with time zone not null default now(),
  stopped jsonb,
  topic_id text collate "C",
  passed_over int8multirange not null default '{}'::int8multirange,
  repeated_below bigint,
  constraint ledger_marks CHECK (partition >= 0 AND start_offset >= 0 AND next_offset >= start_offset AND published_offset <= next_offset),
  constraint ledger_pkey PRIMARY KEY (consumer, topic, partition)
)
with (fillfactor=50, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=5000, autovacuum_vacuum_cost_delay=0, autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=100000, vacuum_truncate=off);

create table millrace_migrations (
  id integer not null,
  name text not null,
  breaking boolean not null,
  checksum text not null,
  applied_at timestamp with time zone not null default now(),
  constraint millrace_migrations_pkey PRIMARY KEY (id)
);

create table rejects (
  id bigint generated always as identity,
  consumer text collate "C" not null,
  topic text collate "C" not null,
  partition integer not null,
  kafka_offset bigint not null,
  kafka_time timestamp with time zone not null,
  key bytea,
  value bytea,
  headers jsonb not null default '[]'::jsonb,
  code text collate "C" not null,
  reason text not null,
  decoder text collate "C" not null,
  attempts integer not null default 0,
  rejected_at timestamp with time zone not null default now(),
  event_type text collate "C",
  tenant_id text collate "C",
  state text collate "C" not null default 'open'::text,
  state_at timestamp with time zone,
  redrive_of bigint,
  audit_id bigint,
  redrive_seq bigint,
  constraint rejects_audit_id_fkey FOREIGN KEY (audit_id) REFERENCES audit(id),
  constraint rejects_consumer_topic_partition_kafka_offset_key UNIQUE (consumer, topic, partition, kafka_offset),
  constraint rejects_pkey PRIMARY KEY (id),
  constraint rejects_state CHECK (state = ANY (ARRAY['open'::text, 'redriving'::text, 'redriven'::text, 'discarded'::text]))
);
CREATE UNIQUE INDEX rejects_consumer_redrive_seq_idx ON rejects USING btree (consumer, redrive_seq) WHERE redrive_seq IS NOT NULL;
CREATE INDEX rejects_consumer_state_rejected_at_idx ON rejects USING btree (consumer, state, rejected_at);

create table replays (
  id text collate "C" not null,
  target text collate "C" not null,
  description jsonb not null,
  plan jsonb not null,
  state text collate "C" not null default 'running'::text,
  saved jsonb,
  failure text,
  actor text collate "C" not null,
  begun_at timestamp with time zone not null default now(),
  saved_at timestamp with time zone not null default now(),
  constraint replays_pkey PRIMARY KEY (id),
  constraint replays_state CHECK (state = ANY (ARRAY['running'::text, 'stopped'::text, 'failed'::text, 'done'::text, 'cancelled'::text]))
)
with (fillfactor=50);
CREATE UNIQUE INDEX replays_target_idx ON replays USING btree (target) WHERE state = ANY (ARRAY['running'::text, 'stopped'::text, 'failed'::text]);

create table saved_positions (
  consumer text collate "C" not null,
  topic text collate "C" not null,
  name text collate "C" not null,
  saved_at timestamp with time zone not null default now(),
  actor text collate "C" not null,
  source text collate "C" not null,
  topic_id text collate "C",
  positions jsonb not null,
  constraint saved_positions_pkey PRIMARY KEY (consumer, topic, name)
);

create table state_snapshots (
  events_table text collate "C" not null,
  reducer text collate "C" not null,
  subject text collate "C" not null,
  hash text collate "C" not null,
  at timestamp with time zone not null,
  first_time timestamp with time zone,
  events bigint not null,
  counts jsonb not null,
  state json not null,
  made_at timestamp with time zone not null default now(),
  made_by text collate "C" not null,
  constraint state_snapshots_pkey PRIMARY KEY (events_table, reducer, subject, hash, at)
);

CREATE OR REPLACE PROCEDURE millrace_advance(IN consumer text, IN topic text, IN partitions integer[], IN expected bigint[], IN next bigint[], IN stored integer[], IN rejected integer[], IN duplicated integer[], IN skipped integer[], IN published bigint[], IN streams jsonb[])
 LANGUAGE plpgsql
AS $procedure$
#variable_conflict use_variable
declare
  places tid[];
  given integer[];
  as_expected bigint;
  moved bigint;
  stuck record;
begin
  select array_agg(locked.ctid), array_agg(locked.at), count(*) filter (where locked.next_offset = expected[locked.at])
    into places, given, as_expected
  from (
    select l.ctid, l.next_offset, array_position(partitions, l.partition) as at from ledger l
    where l.consumer = consumer and l.topic = topic and l.partition = any (partitions)
    order by l.partition
    for no key update
  ) locked;

  if as_expected = cardinality(partitions) then
    update ledger l set
      next_offset = next[u.at],
      published_offset = greatest(l.published_offset, published[u.at]),
      streams = case when streams[u.at] is null then l.streams else l.streams || streams[u.at] end,
      stored = l.stored + stored[u.at],
      rejected = l.rejected + rejected[u.at],
      duplicated = l.duplicated + duplicated[u.at],
      skipped = l.skipped + skipped[u.at],
      updated_at = now()
    from unnest(places, given) as u (place, at)
    where l.ctid = u.place and l.next_offset <= next[u.at];
    get diagnostics moved = row_count;
    if moved = as_expected then
      return;
    end if;
    raise exception 'millrace_advance of %/%: an offset goes back', consumer, topic using errcode = 'MR002';
  end if;

  select u.partition, u.expected, l.next_offset as found into stuck
  from unnest(partitions, expected) as u (partition, expected)
  left join ledger l on l.consumer = consumer and l.topic = topic and l.partition = u.partition
  where l.next_offset is distinct from u.expected
  order by u.partition
  limit 1;

  if stuck.partition is null then
    raise exception 'millrace_advance of %/%: partitions are null or named twice', consumer, topic using errcode = 'MR002';
  end if;
  raise exception 'partition % of %/%: expected next offset %, found %',
    stuck.partition, consumer, topic, stuck.expected, coalesce(stuck.found::text, 'no row')
    using errcode = 'MR001', detail = 'Another process has moved this partition on.';
end
$procedure$;

CREATE OR REPLACE FUNCTION millrace_event_id(event_time timestamp with time zone, source text, event_id text)
 RETURNS uuid
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE STRICT
AS $function$
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
$function$;

CREATE OR REPLACE FUNCTION millrace_id_floor(moment timestamp with time zone)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN (moment IS NOT NULL) THEN ((lpad(to_hex((floor((EXTRACT(epoch FROM (LEAST(GREATEST(moment, '1970-01-01 00:00:00+00'::timestamp with time zone), '10000-01-01 00:00:00+00'::timestamp with time zone) - '1970-01-01 00:00:00+00'::timestamp with time zone)) * (1000)::numeric)))::bigint), 12, '0'::text) || '00000000000000000000'::text))::uuid ELSE NULL::uuid END;

CREATE OR REPLACE FUNCTION millrace_make_partition(parent regclass, day date)
 RETURNS boolean
 LANGUAGE plpgsql
 SET "TimeZone" TO 'UTC'
 SET "DateStyle" TO 'ISO, YMD'
AS $function$
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
$function$;

comment on table audit is 'Who did what by hand: one row for each action of the command line that changes something.';
comment on column audit.actor is 'Whom the machine of the command line knew: user@host.';
comment on column audit.action is 'As on the command line, say "rejects discard" or "offsets set".';
comment on column audit.target is 'What it was done to: a consumer, a partition of a topic, a table.';
comment on table cloud_events is 'CloudEvents, one row per (source, event_id). Ask by id >= millrace_id_floor(time) to touch only the days in question, also where the time is now() - interval.';
comment on column cloud_events.id is 'millrace_event_id(event_time, source, event_id): the same event has the same id in every process and every replay.';
comment on column cloud_events.event_time is 'The event''s own time, or the record''s Kafka timestamp where it has none.';
comment on column cloud_events.event_id is 'The CloudEvents attribute id, unique within source.';
comment on column cloud_events.extensions is 'Extension attributes that have no column of their own.';
comment on column cloud_events.kafka_offset is 'With kafka_topic and kafka_partition: the record that made this row.';
comment on column cloud_events.data_bytes is 'Data that is no JSON, byte for byte; its type is extensions->>''datacontenttype''.';
comment on table gateway_jobs is 'Replays that somebody has asked the server for, one row each; how far they are says replays. After a restart it goes on with those that are wanted.';
comment on column gateway_jobs.description is 'Written before the replay begins, and again when its speed is changed.';
comment on column gateway_jobs.wanted is 'stopped: not before somebody asks for it.';
comment on column gateway_jobs.failure is 'Why it could not be begun or gone on with; how a replay that ran has failed says replays.';
comment on table gateway_requests is 'Requests with an Idempotency-Key, and what was answered; for a day.';
comment on column gateway_requests.status is 'Null: it is under way, or the server died at it.';
comment on table ledger is 'How far each partition of a consumer is. Changed in the same transaction as the rows it counts, by millrace_advance only.';
comment on column ledger.start_offset is 'First Kafka offset this ledger ever covered.';
comment on column ledger.next_offset is 'First Kafka offset not yet persisted: everything from start_offset up to here is a row, a reject, a duplicate or a skip.';
comment on column ledger.published_offset is 'First Kafka offset not known to be published; at most a batch behind the streams. Null: nothing was ever published.';
comment on column ledger.streams is 'Stream family to the last published Kafka offset + 1, that is the time part of the last id in <family>:{<partition>}.';
comment on column ledger.stopped is 'Null: nothing is in the way. Else {"code", "reason", "at"}: nobody stores this partition until an operator has decided (`millrace offsets set`).';
comment on column ledger.topic_id is 'Kafka''s id of the topic that the offsets belong to: a topic made anew under the same name has another.';
comment on column ledger.passed_over is 'Offsets that an operator chose to leave out: every record there counts as a skip.';
comment on column ledger.repeated_below is 'An operator set the ledger back: below this offset records were read more than once, and counted each time.';
comment on procedure millrace_advance is 'Compare-and-set of the ledger, all partitions or none. MR001: a partition is not where it was expected. MR002: the call itself is wrong.';
comment on function millrace_event_id is 'The key of an event: a UUIDv7 of its millisecond (rounded down) and 74 bits of sha256(source, line feed, id).';
comment on function millrace_id_floor is 'The lowest id an event of this millisecond or later can have: id >= millrace_id_floor(now() - interval ''1 hour'') prunes days and uses the key.';
comment on function millrace_make_partition is 'Makes the partition of a UTC day of a table shaped like cloud_events, without stalling readers or writers; false when it was there. MR003: a table of that name exists and is no partition.';
comment on table rejects is 'Records that could not become rows, byte for byte, with the reason. Written in the transaction that moves the ledger past them.';
comment on column rejects.headers is 'Pairs [name, value in base64 or null] in the order of the record.';
comment on column rejects.decoder is 'Name and version of the decoder that said no.';
comment on column rejects.attempts is 'How often this record had been redriven before: 0 for one that a producer sent.';
comment on column rejects.event_type is 'The type, where the decoder got far enough to read one.';
comment on column rejects.tenant_id is 'The tenant, where the decoder got far enough to read one.';
comment on column rejects.redrive_of is 'The reject whose redrive this is.';
comment on column rejects.audit_id is 'The action that gave it its state.';
comment on column rejects.redrive_seq is 'Its place among all redriven rejects of the consumer: below the offset committed in Kafka means sent.';
comment on table replays is 'Replays and how far they are: one row each, updated every second while it runs. Events of a replay bear its id in the extension replayid.';
comment on column replays.plan is 'What was settled when it began: which offsets of Kafka belong to it, and below which ones rows do.';
comment on column replays.state is 'running also where whoever ran it has died: then nobody holds its lock.';
comment on column replays.saved is 'Its position, and what its target has to know to go on there.';
comment on table saved_positions is 'Positions of a consumer in a topic under a name: written by `millrace offsets save`, gone back to by `millrace offsets restore`.';
comment on column saved_positions.positions is 'Partition to offset: the first record that comes next, {"0": 1234}.';
comment on table state_snapshots is 'The state of a subject with all its events up to an instant. Right as long as the subject has as many events up to there as are counted here.';
comment on column state_snapshots.hash is 'Of the reducer''s text: a changed reducer does not use what another one has folded.';
comment on column state_snapshots.first_time is 'Of the first event in it; null: there was none.';
comment on column state_snapshots.counts is 'Events of the subject by day, {"2026-11-21": 3}, up to the instant, of the days that were kept.';
