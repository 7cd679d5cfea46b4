/** `millrace rejects redrive`: what would be sent, and with --yes the sending of it. What an interrupted redrive has left in doubt is settled first. */
import type { Kafka } from 'kafkajs'
import { count } from '../core/count.ts'
import { FatalError } from '../core/errors.ts'
import { wholeFlag } from '../core/flag.ts'
import type { Settings } from '../core/settings.ts'
import { kafkaConfig, kafkaFailure, topicMissing } from '../process/connect-kafka.ts'
import { audit } from '../schema/audit.ts'
import type { Session } from '../schema/sql.ts'
import type { RejectsContext, RejectsIo } from './command.ts'
import { describeFilter, type FilterFlags, type RejectFilter, readFilter } from './filter.ts'
import { openRedriveLog, partitionsOf } from './kafka.ts'
import { leftOut, progressBar, renderSettled } from './print.ts'
import {
  beginSequence,
  lockRedrive,
  type Plan,
  planRedrive,
  type Redriven,
  redrive,
  type Selection,
  type Step,
} from './redrive.ts'
import { doubtful, type Settled, settle } from './redrive-doubt.ts'

export type RedriveFlags = FilterFlags & {
  readonly rate?: string
  readonly limit?: string
  readonly attemptsMax?: string
  readonly resume?: boolean
  readonly inDoubt?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly json?: boolean
}

export interface RedriveContext extends RejectsContext {
  /** The consumer's: what was sent is noted under it, and it must be the same the next time. */
  readonly topic: string
  readonly onStep?: (step: Step) => void
}

interface Wanted {
  readonly filter: RejectFilter
  readonly attemptsMax: number
  readonly limit: number | null
  /** Of a redrive that is gone on with: its audit row, and where its selection ended. */
  readonly resumes: string | null
  readonly maxId: string | null
}

const action = 'rejects redrive'

export async function redriveCommand(
  session: Session,
  tool: Kafka,
  flags: RedriveFlags,
  context: RedriveContext,
  io: RejectsIo,
): Promise<number> {
  const { settings, topic } = context
  const ratePerSecond = wholeFlag('rate', flags.rate ?? '1000', 1)
  const { inDoubt } = flags
  if (inDoubt !== undefined && inDoubt !== 'sent' && inDoubt !== 'open') {
    throw new FatalError('USAGE', `--in-doubt reads '${inDoubt}'.`, 'It takes sent or open.')
  }
  const wanted = flags.resume ? await lastRedrive(session, flags.consumer) : readWanted(flags, context.now())
  const { filter, attemptsMax } = wanted
  const { consumer } = filter
  try {
    const { rows } = await session.query(
      'select distinct topic from rejects where consumer = $1 and state = any ($2)',
      [consumer, filter.states],
    )
    const partitions = await partitionsOf(tool, [topic, ...rows.map((row) => row.topic)])
    const selection: Selection = { filter, attemptsMax, partitions }
    if (!partitions.has(topic)) throw topicMissing(topic, ' of the consumer')
    if (!flags.yes || flags.dryRun) return await tell(session, selection, wanted, flags, ratePerSecond, io)
    await lockRedrive(session, consumer)
    return await send(session, selection, wanted, { flags, ratePerSecond, topic, inDoubt, context, io })
  } catch (error) {
    if (error instanceof Error && error.name.startsWith('KafkaJS')) throw redriveFailure(error, settings)
    throw error
  }
}

function readWanted(flags: RedriveFlags, nowMs: number): Wanted {
  return {
    filter: readFilter(flags, nowMs, ['open', 'discarded']),
    attemptsMax: wholeFlag('attempts-max', flags.attemptsMax ?? '3', 1),
    limit: flags.limit === undefined ? null : wholeFlag('limit', flags.limit, 1),
    resumes: null,
    maxId: null,
  }
}

async function lastRedrive(session: Session, consumer: string): Promise<Wanted> {
  const { rows } = await session.query(
    "select id::text, detail from audit where action = $1 and target = $2 and detail ? 'filter' order by id desc limit 1",
    [action, consumer],
  )
  if (rows.length === 0) {
    throw new FatalError('USAGE', `There was no redrive of '${consumer}' yet.`, 'Leave --resume out.')
  }
  const { id, detail } = rows[0]
  const { filter, attemptsMax, limit, maxId } = detail
  return { filter, attemptsMax, limit, resumes: id, maxId }
}

/** What the limit leaves, and no more than there is; of a redrive that is gone on with, what it has sent is off. */
async function share(session: Session, { limit, resumes }: Wanted, { ready }: Plan): Promise<number> {
  if (limit === null || resumes === null) return Math.min(ready, limit ?? ready)
  const text = "select count(*)::int from rejects where audit_id = $1 and state = 'redriven'"
  const { rows } = await session.query(text, [resumes])
  return Math.min(ready, Math.max(0, limit - rows[0].count))
}

async function tell(
  session: Session,
  selection: Selection,
  wanted: Wanted,
  flags: RedriveFlags,
  ratePerSecond: number,
  io: RejectsIo,
): Promise<number> {
  const { filter, attemptsMax } = selection
  const plan = await planRedrive(session, selection, wanted.maxId)
  const left = await doubtful(session, filter.consumer)
  const selected = await share(session, wanted, plan)
  if (flags.json) {
    io.write(
      `${JSON.stringify({ run: null, selected, redriven: 0, leftOut: reasons(plan), inDoubt: left === null ? 0 : left.next - left.from, stopped: false })}\n`,
    )
    return 0
  }
  if (left !== null) {
    io.write(`Would first settle the ${count(left.next - left.from)} that an interrupted redrive has left in doubt.\n`)
  }
  const seconds = Math.ceil(selected / ratePerSecond)
  io.write(
    `Would redrive ${count(selected)} rejects of '${filter.consumer}' (${describeFilter(filter)}), in about ${count(seconds)} s at ${count(ratePerSecond)}/s.\n`,
  )
  for (const line of leftOut(plan, attemptsMax)) io.write(`${line}\n`)
  io.write('Nothing was changed: add --yes to do it.\n')
  return 0
}

interface Sending {
  readonly flags: RedriveFlags
  readonly ratePerSecond: number
  readonly topic: string
  readonly inDoubt: 'sent' | 'open' | undefined
  readonly context: RedriveContext
  readonly io: RejectsIo
}

async function send(session: Session, selection: Selection, wanted: Wanted, sending: Sending): Promise<number> {
  const { flags, ratePerSecond, topic, inDoubt, context, io } = sending
  const { settings, actor, now, signal, onStep } = context
  const { filter, attemptsMax } = selection
  const { consumer } = filter
  const name = `millrace-redrive-${settings.group || consumer}`
  const openLog = () => openRedriveLog({ kafka: kafkaConfig(settings), topic, name })
  const log = await openLog()
  try {
    const settled = await settle(session, consumer, log, { inDoubt })
    if (!flags.json) io.write(renderSettled(settled))
    const plan = await planRedrive(session, selection, wanted.maxId)
    const selected = await share(session, wanted, plan)
    let result: Redriven = { redriven: 0, tooLarge: [], stopped: false }
    let run = wanted.resumes
    if (selected > 0 || settled.sent + settled.reopened > 0) {
      const detail = {
        ...(wanted.resumes === null
          ? { filter, attemptsMax, limit: wanted.limit, maxId: plan.maxId }
          : { resumes: wanted.resumes }),
        selected,
        leftOut: reasons(plan),
        settled,
        ratePerSecond,
      }
      const entry = await audit(session, { actor, action, target: consumer, detail })
      run ??= entry
    }
    if (selected > 0) {
      await beginSequence(session, consumer, log)
      result = await redrive({
        session,
        openLog,
        log,
        selection,
        maxId: plan.maxId,
        auditId: run as string,
        limit: selected,
        ratePerSecond,
        now,
        signal,
        ...(onStep !== undefined && { onStep }),
        ...(io.terminal && {
          onProgress: (done: number) => io.writeError(progressBar(done, selected, io.columns)),
        }),
      })
      if (io.terminal) io.writeError('\r\x1b[2K')
    }
    say(flags, io, { run, selected, plan, attemptsMax, settled, result })
    return result.stopped || result.tooLarge.length > 0 ? 1 : 0
  } finally {
    await log.close()
  }
}

function say(
  flags: RedriveFlags,
  io: RejectsIo,
  told: {
    readonly run: string | null
    readonly selected: number
    readonly plan: Plan
    readonly attemptsMax: number
    readonly settled: Settled
    readonly result: Redriven
  },
): void {
  const { run, selected, plan, attemptsMax, settled, result } = told
  if (flags.json) {
    io.write(`${JSON.stringify({ run, selected, ...result, leftOut: reasons(plan), settled })}\n`)
    return
  }
  io.write(
    `Redrove ${count(result.redriven)} of ${count(selected)} rejects${run === null ? '' : `, audit ${run}`}.` +
      `${result.stopped ? ' Interrupted: `millrace rejects redrive --resume --yes` goes on.' : ''}\n`,
  )
  for (const line of leftOut(plan, attemptsMax)) io.write(`${line}\n`)
  if (result.tooLarge.length > 0) {
    io.write(
      `${count(result.tooLarge.length)} left open: the topic does not take records of their size any more (${result.tooLarge.slice(0, 5).join(', ')}${result.tooLarge.length > 5 ? ', ...' : ''}).\n`,
    )
  }
}

const reasons = ({ attempts, unreadable, partitionGone }: Plan) => ({ attempts, unreadable, partitionGone })

function redriveFailure(error: Error, settings: Settings): FatalError {
  if ((error as { type?: string }).type === 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED') {
    return new FatalError(
      'KAFKA_DENIED',
      `Kafka denies the user a transaction: ${error.message}.`,
      "Redriving needs Write and Describe on the transactional ids and Read on the groups prefixed 'millrace-redrive-', and Read and Write on the topic.",
      error,
    )
  }
  return kafkaFailure(error, settings)
}
