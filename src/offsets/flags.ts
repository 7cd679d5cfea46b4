/** The options of `millrace offsets ...`: what the help says of each. */

const consumer = ['--consumer <name>', 'whose partitions', 'cloud-events'] as const
const json = ['--json', 'as JSON'] as const

export const offsetsCommands = {
  show: {
    summary:
      'where each partition stands: ledger, Kafka, lag, what retention may still take, and whether it is stopped',
    flags: [consumer, ['--partition <list>', 'these only: 3 or 3,7,12 or all', 'all'], json],
  },
  set: {
    summary:
      'decide where partitions go on, and clear what they were stopped for; tells what it would do unless --yes is given',
    flags: [
      consumer,
      ['--partition <list>', 'which: 3 or 3,7,12 or all (required)'],
      [
        '--to <where>',
        'earliest, latest, an offset, or a time like 2026-11-21T09:30:00Z: the first record from then on (required)',
      ],
      [
        '--force',
        'although a replica is serving the partition: it is fenced at its next batch and goes on from the new place',
      ],
      ['--dry-run', 'tell what would be done, which is what happens without --yes'],
      ['--yes', 'do it'],
      json,
    ],
  },
  at: {
    argument: '<time>',
    summary:
      "which offset each partition has at a time, by its records' Kafka timestamps: the first record from then on",
    flags: [
      consumer,
      ['--topic <name>', "another topic than the consumer's"],
      ['--partition <list>', 'these only: 3 or 3,7,12 or all', 'all'],
      json,
    ],
  },
  save: {
    argument: '<name>',
    summary: 'remember under a name where the partitions stand, to restore it later',
    flags: [
      consumer,
      ['--at <time>', 'not where the ledger stands: the first record of this time on'],
      ['--partition <list>', 'these only: 3 or 3,7,12 or all', 'all'],
      json,
    ],
  },
  positions: { summary: 'list what was saved', flags: [consumer, json] },
  restore: {
    argument: '<name>',
    summary: 'go on where a saved position says; tells what it would do unless --yes is given, as `set` does',
    flags: [
      consumer,
      ['--partition <list>', 'these only: 3 or 3,7,12 or all', 'all'],
      ['--force', 'although a replica is serving the partition: it is fenced at its next batch'],
      ['--dry-run', 'tell what would be done, which is what happens without --yes'],
      ['--yes', 'do it'],
      json,
    ],
  },
  forget: { argument: '<name>', summary: 'take a saved position away', flags: [consumer, json] },
} as const satisfies Record<
  string,
  {
    readonly argument?: string
    readonly summary: string
    readonly flags: readonly (readonly [flag: string, help: string, standard?: string])[]
  }
>

export type OffsetsAction = keyof typeof offsetsCommands
