import { quickSettings } from '../e2e/quick-settings.ts'

/**
 * Settings of the suite's replicas: short patience, so that an hour holds all scenarios. The relations between them stay those of production (a session
 * of several heartbeats, a rebalance that outlasts a transaction, a drain that outlasts a batch); recovery times scale with them, and the page says so.
 */
export const suiteSettings = {
  ...quickSettings,
  MILLRACE_SETTLE_MS: '200',
  // Every entry is kept, so that every entry can be counted.
  MILLRACE_STREAM_LENGTH_MAX: '0',
} as const
