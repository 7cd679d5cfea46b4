-- What operators do is written down, rejects can be worked on, and data that is no JSON has a place.

create table audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  db_user text collate "C" not null default session_user,
  actor text collate "C" not null,
  action text collate "C" not null,
  target text collate "C" not null,
  detail jsonb not null default '{}'
);

comment on table audit is 'Who did what by hand: one row for each action of the command line that changes something.';
comment on column audit.actor is 'Whom the machine of the command line knew: user@host.';
comment on column audit.action is 'As on the command line, say "rejects discard" or "offsets set".';
comment on column audit.target is 'What it was done to: a consumer, a partition of a topic, a table.';

-- Data that is not JSON: `data_base64` decoded, or the value of a binary-mode record, byte for byte. Never together with `data`.
alter table cloud_events add column data_bytes bytea;
comment on column cloud_events.data_bytes is 'Data that is no JSON, byte for byte; its type is extensions->>''datacontenttype''.';

alter table rejects
  add column event_type text collate "C",
  add column tenant_id text collate "C",
  -- open: nobody has looked at it; redriving: a redrive has taken it up; redriven: sent again; discarded: judged and left.
  add column state text collate "C" not null default 'open'
    constraint rejects_state check (state in ('open', 'redriving', 'redriven', 'discarded')),
  add column state_at timestamptz,
  -- Which reject this one is another attempt of; `attempts` is one more than its.
  add column redrive_of bigint;

create index on rejects (consumer, state, rejected_at);

comment on column rejects.event_type is 'The type, where the decoder got far enough to read one.';
comment on column rejects.tenant_id is 'The tenant, where the decoder got far enough to read one.';
comment on column rejects.attempts is 'How often this record had been redriven before: 0 for one that a producer sent.';
comment on column rejects.redrive_of is 'The reject whose redrive this is.';
