/** What is asked about the past of subjects and the positions of groups, and how it is answered. */
import { z } from 'zod'
import { consumerText, text, timeText } from './describe.ts'

export const subjectText = text(1024).describe('As its producer writes it: ord_1.')
export const reducerText = z
  .string()
  .regex(/^[a-z0-9-]{1,100}$/)
  .describe('A file of reducers/; by default the one whose subjects begin like this.')
const consumer = consumerText.default('cloud-events')
const known = timeText.optional().describe('What was known then: only events that were stored by that time.')
const flag = z.enum(['true', 'false'])
const count = z.coerce.number().int().min(1)

export const stateBody = z.strictObject({
  subject: subjectText,
  at: timeText.optional().describe('Now, if it is left out.'),
  from: timeText.optional().describe('Adds what it was then, and what has changed since.'),
  known,
  full: z.boolean().default(false).describe('Fold all events, use no snapshot.'),
  reducer: reducerText.optional(),
  consumer,
})

export const stateAnswer = z.looseObject({
  subject: z.string(),
  reducer: z.string(),
  consumer: z.string(),
  events: z.number(),
  state: z.unknown().optional().describe('Null: there was no event yet.'),
  before: z.unknown().optional(),
  after: z.unknown().optional(),
  changes: z.array(z.looseObject({ path: z.string(), kind: z.string() })).optional(),
  notes: z.array(z.string()),
})

export const timelineQuery = z.strictObject({
  subject: subjectText,
  from: timeText.optional(),
  to: timeText.optional(),
  states: flag.default('false').describe('With the state before and after each event.'),
  limit: count.max(1000).default(100),
  after: z
    .string()
    .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z,[0-9a-f-]{36}$/)
    .optional()
    .describe('What the page before gave as next.'),
  known,
  reducer: reducerText.optional(),
  consumer,
})

export const timelineAnswer = z.looseObject({
  subject: z.string(),
  items: z.array(z.looseObject({ event: z.looseObject({ id: z.string(), type: z.string(), time: z.string() }) })),
  next: z.string().nullable(),
  notes: z.array(z.string()),
})

const nameText = text(100)

export const snapshotBody = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('state'),
    subjects: z.array(subjectText).min(1).max(100),
    at: timeText.optional(),
    reducer: reducerText.optional(),
    consumer,
  }),
  z.strictObject({
    kind: z.literal('position'),
    name: nameText,
    at: timeText.optional().describe('A time, in place of where the ledger stands.'),
    consumer,
  }),
])

export const snapshotsQuery = z.strictObject({
  kind: z.enum(['state', 'position']).default('state'),
  subject: subjectText.optional(),
  check: flag.default('false').describe('Compare each with a fold of all its events.'),
  limit: count.max(1000).default(100),
  consumer,
})

export const restoreBody = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('state'),
    subject: subjectText,
    at: timeText.optional(),
    check: z.boolean().default(false),
    reducer: reducerText.optional(),
    consumer,
  }),
  z.strictObject({
    kind: z.literal('position'),
    name: nameText,
    dryRun: z.boolean().default(true).describe('Only tell what it would mean.'),
    force: z.boolean().default(false).describe('Also while the group is live.'),
    consumer,
  }),
])

export const offsetsQuery = z.strictObject({
  consumer,
  partitions: z
    .string()
    .regex(/^\d{1,7}(,\d{1,7})*$/)
    .max(1000)
    .optional()
    .describe('Only these: 3 or 3,7,12.'),
})
export const offsetsAtQuery = offsetsQuery.extend({ at: timeText })
export const topicParams = z.strictObject({
  topic: z.string().regex(/^(?!\.{1,2}$)[\w.-]{1,249}$/),
})
export const partitionsAnswer = z.looseObject({ partitions: z.array(z.looseObject({ partition: z.number() })) })
export const anything = z.looseObject({})
