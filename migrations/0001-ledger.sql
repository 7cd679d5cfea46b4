--! breaking
-- The ledger and the rejects: how far each partition is, and what could not be stored.
-- Every name is unqualified: the schema is whatever the connection's search_path says.

create table ledger (
  consumer text collate "C" not null,
  topic text collate "C" not null,
  partition integer not null,
  start_offset bigint not null,
  next_offset bigint not null,
  published_offset bigint,
  streams jsonb not null default '{}',
  stored bigint not null default 0,
  rejected bigint not null default 0,
  duplicated bigint not null default 0,
  skipped bigint not null default 0,
  updated_at timestamptz not null default now(),
  primary key (consumer, topic, partition),
  -- The law of the marks, as far as the database can see it.
  constraint ledger_marks check (
    partition >= 0 and start_offset >= 0 and next_offset >= start_offset and published_offset <= next_offset
  )
)
-- Every batch updates its rows, hundreds of times a second, and never a column of the key: with room on the page each
-- update is a HOT one and the page cleans itself. Truncation is off because it takes an exclusive lock on the ledger.
with (
  fillfactor = 50,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 5000,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0,
  autovacuum_analyze_threshold = 100000,
  vacuum_truncate = off
);

comment on table ledger is 'How far each partition of a consumer is. Changed in the same transaction as the rows it counts, by millrace_advance only.';
comment on column ledger.start_offset is 'First Kafka offset this ledger ever covered.';
comment on column ledger.next_offset is 'First Kafka offset not yet persisted: everything from start_offset up to here is a row, a reject, a duplicate or a skip.';
comment on column ledger.published_offset is 'First Kafka offset not known to be published; at most a batch behind the streams. Null: nothing was ever published.';
comment on column ledger.streams is 'Stream family to the last published Kafka offset + 1, that is the time part of the last id in <family>:{<partition>}.';

create table rejects (
  id bigint generated always as identity primary key,
  consumer text collate "C" not null,
  topic text collate "C" not null,
  partition integer not null,
  kafka_offset bigint not null,
  kafka_time timestamptz not null,
  key bytea,
  value bytea,
  headers jsonb not null default '[]',
  code text collate "C" not null,
  reason text not null,
  decoder text collate "C" not null,
  attempts integer not null default 0,
  rejected_at timestamptz not null default now(),
  unique (consumer, topic, partition, kafka_offset)
);

comment on table rejects is 'Records that could not become rows, byte for byte, with the reason. Written in the transaction that moves the ledger past them.';
comment on column rejects.headers is 'Pairs [name, value in base64 or null] in the order of the record.';
comment on column rejects.decoder is 'Name and version of the decoder that said no.';

-- Moves partitions from `expected` to `next`, all or none: the compare-and-set that makes exactly-once a comparison.
--
-- Called first in the transaction of a batch, so that a process that has lost a partition fails before it copies a row.
-- The arrays go by position. Rows are locked in the order of their partitions, whatever the order given: two processes
-- that hold the same partitions (one of them no longer by right) can then never wait for each other. The later one waits,
-- sees each row as it is after the wait, and fails with MR001. `published` and `streams` may be null, as a whole or by
-- element: nothing new.
--
-- Two statements for all partitions, because an update for each in a loop costs three times as much, and the second finds
-- the rows where the first has locked them, because looking them up again means walking past every version of them that an
-- old snapshot keeps alive: see docs/decisions/0003-ledger.md.
create procedure millrace_advance(
  consumer text,
  topic text,
  partitions integer[],
  expected bigint[],
  next bigint[],
  stored integer[],
  rejected integer[],
  duplicated integer[],
  skipped integer[],
  published bigint[],
  streams jsonb[]
)
language plpgsql
as $$
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
$$;

comment on procedure millrace_advance is 'Compare-and-set of the ledger, all partitions or none. MR001: a partition is not where it was expected. MR002: the call itself is wrong.';

-- Adds to the counters of partitions that millrace_advance has moved in this very transaction, for a batch whose
-- duplicates are known only after staging it. The rows are locked already, so order does not matter any more.
create procedure millrace_count(
  consumer text,
  topic text,
  partitions integer[],
  stored integer[],
  duplicated integer[]
)
language sql
begin atomic
  update ledger l set stored = l.stored + given.stored, duplicated = l.duplicated + given.duplicated
  from unnest(millrace_count.partitions, millrace_count.stored, millrace_count.duplicated)
    as given (partition, stored, duplicated)
  where l.consumer = millrace_count.consumer and l.topic = millrace_count.topic and l.partition = given.partition;
end;

comment on procedure millrace_count is 'Adds to the counters of rows this transaction has advanced.';
