/** All scenarios, in the order of --all: those of the same needs beside each other, so that their servers are started once. */
import type { Scenario } from '../scenario.ts'
import { brokerScenarios } from './brokers.ts'
import { clockScenarios } from './clock.ts'
import { diskFull } from './disk-full.ts'
import { commitLost, killAtPoints } from './points.ts'
import { postgresScenarios } from './postgres.ts'
import { processScenarios } from './processes.ts'
import { recordScenarios } from './records.ts'

export const scenarios: readonly Scenario[] = [
  ...processScenarios,
  killAtPoints,
  commitLost,
  ...postgresScenarios,
  diskFull,
  ...brokerScenarios,
  ...recordScenarios,
  ...clockScenarios,
]
