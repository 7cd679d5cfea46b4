-- Replays: what each is to do, and how far it is. Kept so that one can be gone on with after a crash of whoever ran it, and so that no two write to
-- the same target.

create table replays (
  id text collate "C" not null primary key,
  target text collate "C" not null,
  description jsonb not null,
  plan jsonb not null,
  state text collate "C" not null default 'running'
    constraint replays_state check (state in ('running', 'stopped', 'failed', 'done', 'cancelled')),
  saved jsonb,
  failure text,
  actor text collate "C" not null,
  begun_at timestamptz not null default now(),
  saved_at timestamptz not null default now()
)
with (fillfactor = 50);

-- An interrupted replay keeps its target until it is gone on with or discarded.
create unique index on replays (target) where state in ('running', 'stopped', 'failed');

comment on table replays is 'Replays and how far they are: one row each, updated every second while it runs. Events of a replay bear its id in the extension replayid.';
comment on column replays.plan is 'What was settled when it began: which offsets of Kafka belong to it, and below which ones rows do.';
comment on column replays.saved is 'Its position, and what its target has to know to go on there.';
comment on column replays.state is 'running also where whoever ran it has died: then nobody holds its lock.';
