/** What the suite cannot hold, or does not try, as plainly as what it does: one sentence each, for the page. */
export const leftOut: readonly string[] = [
  'Machines: everything runs on one, so a power cut, a lost disk and a slow network between machines are stood in for by signals and proxies.',
  'What Kafka itself loses: an event counts from its acknowledgement on, by all of at least two brokers in sync (acks=all, min ISR 2); a topic with fewer copies loses with its broker.',
  'Recovery on a starved machine: the stated times are for cores that servers, replicas and load fill but do not fight over. With ten times as many runnable processes as cores most rounds were over their bound, and replicas ended as stuck although they were only starved; in the runs that could be counted nothing was lost or duplicated.',
  'Side effects of the streams’ readers: a reader that dies between reading and acknowledging reads again.',
  'A replica that PostgreSQL alone refuses says that it is not ready and keeps its partitions until PostgreSQL answers it or somebody restarts it: from inside, its own line being cut and PostgreSQL being down for all look the same, and a fleet that restarts because a server is down helps nobody. One that hears nothing at all ends after MILLRACE_PROGRESS_TIMEOUT_MS, and the others serve its partitions.',
  'Records that Kafka acknowledged and then lost itself (an unclean leader election, a log cut off behind its back) are not there to be stored. A partition whose log ends before what is stored stops and says so; one that has grown past it again before anybody looked (3 s) goes on, and nobody can tell (decision 0008).',
  'A replica whose clock is behind by more than eventFutureHoursMax (1 h), or ahead by more than eventPastDaysMax, takes good events for events out of time: they are rejects whole, the limit stops the process, and `millrace rejects redrive` makes rows of them when the clock is right. `clock` runs within a wider window.',
  'A topic deleted and made anew under a running fleet is not part of the suite: test/e2e/corners-kafka.test.ts and corners-offsets.test.ts have it.',
  'Redis behind Sentinel: the client does not ask Sentinel who is primary; an address that follows the primary (as here a proxy) is what is tried.',
  'Positions of consumer groups in Redis: they are Redis’ own, and go back with it in a failover or are gone with a deleted stream; a group is then given entries again. A reader that keeps its last id itself is not.',
]
