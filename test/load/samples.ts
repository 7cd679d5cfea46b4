/** Seconds of a run, to be changed by tests. */
import type { Sample } from '../../src/load/samples.ts'

export function sample(at: number, changed: Partial<Sample> = {}): Sample {
  return {
    at,
    due: 1000,
    produced: 1000,
    stored: 1000,
    published: 1000,
    storedMs: { p50: 5, p95: 10, p99: 20 },
    publishedMs: { p50: 6, p95: 12, p99: 24 },
    lagRecords: 10,
    lagSeconds: 0.02,
    waiting: 0,
    cpu: { 'replica-1': 0.4, kafka: 0.5 },
    memory: { 'replica-1': 100e6, 'replica-2': 100e6, kafka: 400e6 },
    ...changed,
  }
}

export const seconds = (count: number, change: (at: number) => Partial<Sample> = () => ({})): Sample[] =>
  Array.from({ length: count }, (_, at) => sample(at, change(at)))
