/**
 * Node's own options for a process that moves many events (of the fleet, a replay), for whoever starts one. V8 lets its young generation grow to 96 MiB at
 * full speed, and what is in it is dead by then: 12 MiB do as well (docs/results/speed.md). Plain JavaScript: bin/ needs it before there is TypeScript.
 */
export const nodeFlags = ['--max-semi-space-size=4']

/** For whoever keeps a schedule: four helping threads that mark and move objects take both cores of a small machine from what is being measured. */
export const loadFlags = [...nodeFlags, '--single-threaded-gc']
