/** What the suite cannot hold, or does not try, as plainly as what it does: one sentence each, for the page. */
export const leftOut: readonly string[] = [
  'Machines: everything runs on one, so a power cut, a lost disk and a slow network between machines are stood in for by signals and proxies.',
  'Side effects of the streams’ readers: a reader that dies between reading and acknowledging reads again.',
]
