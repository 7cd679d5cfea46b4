-- Which action moved a reject on, and how a redrive knows after a crash what it has sent: docs/decisions/0004-redrive-through-kafka.md.

alter table rejects
  add column audit_id bigint references audit,
  add column redrive_seq bigint;

comment on column rejects.audit_id is 'The action that gave it its state.';
comment on column rejects.redrive_seq is 'Its place among all redriven rejects of the consumer: below the offset committed in Kafka means sent.';

-- Also the guard that no place is given twice.
create unique index on rejects (consumer, redrive_seq) where redrive_seq is not null;
