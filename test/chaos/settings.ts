/**
 * Settings of the suite's replicas: short patience, so that an hour holds all scenarios. The relations between them stay those of production (a session
 * of several heartbeats, a rebalance that outlasts a transaction, a drain that outlasts a batch); recovery times scale with them, and the page says so.
 */
export const suiteSettings = {
  MILLRACE_SESSION_TIMEOUT_MS: '3000',
  MILLRACE_HEARTBEAT_MS: '400',
  MILLRACE_REBALANCE_TIMEOUT_MS: '9000',
  MILLRACE_TRANSACTION_TIMEOUT_MS: '3000',
  MILLRACE_LOCK_TIMEOUT_MS: '1000',
  MILLRACE_FETCH_WAIT_MS: '100',
  MILLRACE_SETTLE_MS: '200',
  MILLRACE_KAFKA_REQUEST_TIMEOUT_MS: '5000',
  MILLRACE_REDIS_TIMEOUT_MS: '2000',
  MILLRACE_RETRY_BACKOFF_MAX_MS: '500',
  MILLRACE_DRAIN_MS: '20000',
  MILLRACE_PROGRESS_TIMEOUT_MS: '30000',
  // Every entry is kept, so that every entry can be counted.
  MILLRACE_STREAM_LENGTH_MAX: '0',
  MILLRACE_WORKERS: '1',
  MILLRACE_ADMIN_PORT: '0',
  MILLRACE_LOG_FORMAT: 'json',
} as const
