-- Duplicates are known before the ledger moves (docs/decisions/0005-leave-out-what-is-stored.md): nothing is added to its counters afterwards.

drop procedure millrace_count;
