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
} as const satisfies Record<
  string,
  { readonly summary: string; readonly flags: readonly (readonly [flag: string, help: string, standard?: string])[] }
>

export type OffsetsAction = keyof typeof offsetsCommands
