/** What the suite cannot hold, or does not try, as plainly as what it does: one sentence each, for the page. */
export const leftOut: readonly string[] = [
  'Machines: everything runs on one, so a power cut, a lost disk and a slow network between machines are stood in for by signals and proxies.',
  'Side effects of the streams’ readers: a reader that dies between reading and acknowledging reads again.',
  'A replica that PostgreSQL alone refuses says that it is not ready and keeps its partitions until PostgreSQL answers it or somebody restarts it: from inside, its own line being cut and PostgreSQL being down for all look the same, and a fleet that restarts because a server is down helps nobody. One that hears nothing at all ends after MILLRACE_PROGRESS_TIMEOUT_MS, and the others serve its partitions.',
]
