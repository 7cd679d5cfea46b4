-- What the server of `millrace serve` has promised: replays that it runs, and requests that may be sent twice. docs/replay-api.md.

create table gateway_jobs (
  id text collate "C" not null primary key,
  description jsonb not null,
  wanted text collate "C" not null
    constraint gateway_jobs_wanted check (wanted in ('running', 'paused', 'stopped')),
  failure text,
  made_at timestamptz not null default now()
);

-- Lists go from the newest on, some at a time.
create index on gateway_jobs (made_at, id);

comment on table gateway_jobs is 'Replays that somebody has asked the server for, one row each; how far they are says replays. After a restart it goes on with those that are wanted.';
comment on column gateway_jobs.description is 'Written before the replay begins, and again when its speed is changed.';
comment on column gateway_jobs.wanted is 'stopped: not before somebody asks for it.';
comment on column gateway_jobs.failure is 'Why it could not be begun or gone on with; how a replay that ran has failed says replays.';

create table gateway_requests (
  key text collate "C" not null primary key,
  request_hash text collate "C" not null,
  status smallint,
  body json,
  made_at timestamptz not null default now()
);

create index on gateway_requests (made_at);

comment on table gateway_requests is 'Requests with an Idempotency-Key, and what was answered; for a day.';
comment on column gateway_requests.status is 'Null: it is under way, or the server died at it.';
