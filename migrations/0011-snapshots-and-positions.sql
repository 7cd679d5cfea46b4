-- What was folded before, and where a group stood: docs/state.md, docs/offsets.md.

create table state_snapshots (
  events_table text collate "C" not null,
  reducer text collate "C" not null,
  subject text collate "C" not null,
  hash text collate "C" not null,
  at timestamptz not null,
  first_time timestamptz,
  events bigint not null,
  counts jsonb not null,
  -- json, not jsonb: what comes back is what was folded, to the order of its members.
  state json not null,
  made_at timestamptz not null default now(),
  made_by text collate "C" not null,
  primary key (events_table, reducer, subject, hash, at)
);

comment on table state_snapshots is 'The state of a subject with all its events up to an instant. Right as long as the subject has as many events up to there as are counted here.';
comment on column state_snapshots.hash is 'Of the reducer''s text: a changed reducer does not use what another one has folded.';
comment on column state_snapshots.first_time is 'Of the first event in it; null: there was none.';
comment on column state_snapshots.counts is 'Events of the subject by day, {"2026-11-21": 3}, up to the instant, of the days that were kept.';

create table saved_positions (
  consumer text collate "C" not null,
  topic text collate "C" not null,
  name text collate "C" not null,
  saved_at timestamptz not null default now(),
  actor text collate "C" not null,
  -- What they are of: the ledger, or a time.
  source text collate "C" not null,
  topic_id text collate "C",
  positions jsonb not null,
  primary key (consumer, topic, name)
);

comment on table saved_positions is 'Positions of a consumer in a topic under a name: written by `millrace offsets save`, gone back to by `millrace offsets restore`.';
comment on column saved_positions.positions is 'Partition to offset: the first record that comes next, {"0": 1234}.';
