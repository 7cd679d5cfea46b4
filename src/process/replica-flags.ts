/**
 * Node's own options for a process of the fleet or a replay, for whoever starts one (bin/millrace.mjs has them too). V8 lets its young generation grow to
 * 96 MiB at full speed, and what is in it is dead by then: 12 MiB do as well (docs/results/speed.md).
 */
export const replicaFlags = ['--max-semi-space-size=4'] as const
