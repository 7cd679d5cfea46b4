/** The options of `millrace partitions`, as commander takes them: flag, what it does, default. */
export type PartitionsAction = 'list' | 'make' | 'drop' | 'seal'

export interface PartitionsFlags {
  readonly consumer: string
  readonly table?: string
  readonly json?: boolean
  readonly from?: string
  readonly to?: string
  readonly before?: string
  readonly keep?: boolean
  readonly dryRun?: boolean
  readonly yes?: boolean
}

type Flag = readonly [flag: string, help: string, standard?: string]

const common: readonly Flag[] = [
  ['--consumer <name>', 'whose table', 'cloud-events'],
  ['--table <name>', 'another table of the same shape, in place of a consumer'],
  ['--json', 'as one JSON value'],
]

export const partitionsCommands: readonly {
  readonly action: PartitionsAction
  readonly usage: string
  readonly description: string
  readonly flags: readonly Flag[]
}[] = [
  {
    action: 'list',
    usage: 'list',
    description: 'every day: rows (estimated), size, oldest and newest event, sealed or not; and the horizon',
    flags: common,
  },
  {
    action: 'make',
    usage: 'make [day...]',
    description:
      'make the days that are missing: those named (2026-11-21), or from today as far ahead as partitionsAheadDays says',
    flags: [
      ['--from <day>', 'the first of a range'],
      ['--to <day>', 'the last of a range'],
      ['--dry-run', 'say what would be made'],
      ...common,
    ],
  },
  {
    action: 'drop',
    usage: 'drop [day...]',
    description:
      'take days away for good: those named, or those beyond retentionDays; without --yes it only says which. For the owner of the table',
    flags: [
      ['--before <day>', 'every day before this one'],
      ['--keep', 'detach only: the table stays as <table>_detached_YYYY_MM_DD'],
      ['--dry-run', 'say what would be taken away, which is what happens without --yes'],
      ['--yes', 'do it'],
      ...common,
    ],
  },
  {
    action: 'seal',
    usage: 'seal [day...]',
    description:
      'give closed days their further indexes, statistics and frozen rows: those named, or all that are due. For the owner of the table',
    flags: [['--dry-run', 'say what would be sealed'], ...common],
  },
]
