-- Why a partition stands still, which topic its offsets belong to, and what an operator has decided about them.

alter table ledger
  add column stopped jsonb,
  add column topic_id text collate "C",
  add column passed_over int8multirange not null default '{}',
  add column repeated_below bigint;

comment on column ledger.stopped is 'Null: nothing is in the way. Else {"code", "reason", "at"}: nobody stores this partition until an operator has decided (`millrace offsets set`).';
comment on column ledger.topic_id is 'Kafka''s id of the topic that the offsets belong to: a topic made anew under the same name has another.';
comment on column ledger.passed_over is 'Offsets that an operator chose to leave out: every record there counts as a skip.';
comment on column ledger.repeated_below is 'An operator set the ledger back: below this offset records were read more than once, and counted each time.';
