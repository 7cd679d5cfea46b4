/** All scenarios, in the order of --all: those of the same needs beside each other. */
import type { Scenario } from '../scenario.ts'
import { brokerScenarios } from './brokers.ts'
import { clockScenarios } from './clock.ts'
import { diskFull } from './disk-full.ts'
import { commitLost, killAtPoints } from './points.ts'
import { postgresScenarios } from './postgres.ts'
import { processScenarios } from './processes.ts'
import { recordScenarios } from './records.ts'
import { redisScenarios } from './redis.ts'
import { clusterScenarios } from './redis-cluster.ts'
import { failoverScenarios } from './redis-failover.ts'

/** So that servers are started as seldom as can be: three brokers before one, and of the others the simpler first. */
const kinds = ['single', 'pair', 'cluster']
const rank = ({ needs: { brokers = 3, postgres = 'single', redis = 'single' } }: Scenario) =>
  (brokers === 3 ? 0 : 100) + kinds.indexOf(postgres) * 10 + kinds.indexOf(redis)

const all: readonly Scenario[] = [
  ...processScenarios,
  killAtPoints,
  commitLost,
  ...postgresScenarios,
  diskFull,
  ...brokerScenarios,
  ...recordScenarios,
  ...clockScenarios,
  ...redisScenarios,
  ...failoverScenarios,
  ...clusterScenarios,
]

export const scenarios: readonly Scenario[] = [...all].sort((one, other) => rank(one) - rank(other))
