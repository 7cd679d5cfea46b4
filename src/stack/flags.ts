/** The actions and options of `millrace stack`, apart from what they do: help is quick. */

export const stackActions = ['up', 'down', 'status', 'env', 'logs', 'install'] as const
export type StackAction = (typeof stackActions)[number]

export type StackFlags = {
  /** `default` unless given. */
  name?: string
  json?: boolean
  /** up: with empty servers. */
  fresh?: boolean
  /** up: through Docker Compose, also where the servers could run natively. */
  docker?: boolean
  /** down: delete the data too. */
  remove?: boolean
  /** logs: go on until interrupted. */
  follow?: boolean
  /** logs: how many lines of each server; 20 unless given. */
  lines?: string
  /** up, logs: only this one; all three unless given. */
  server?: string[]
}

/** [flag, what it does] for commander. */
export const stackFlags: [string, string][] = [
  ['--name <name>', 'the stack, where several stand side by side (default: default)'],
  ['--server <names...>', 'up, logs: only these of kafka, postgres, redis'],
  ['--fresh', 'up: start with empty servers'],
  ['--docker', 'up: through Docker Compose, also where the servers could run natively'],
  ['--remove', 'down: delete the data too'],
  ['--follow', 'logs: go on until interrupted'],
  ['--lines <count>', 'logs: the last lines of each server (default: 20)'],
  ['--json', 'up, status: as JSON'],
]
