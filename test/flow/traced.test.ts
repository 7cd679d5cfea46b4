/** A batch's spans end, whatever becomes of it: with it, or when its lane gives up what was under way. None is left open, and none is told twice. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LostError, TransientError } from '../../src/core/errors.ts'
import type { Span } from '../../src/core/otlp.ts'
import { names, type Outcome } from '../../src/core/trace-names.ts'
import { openLaneTracer } from '../../src/process/trace-batches.ts'
import { createRandom } from '../../src/simulate/random.ts'
import { decode, type EventSpec, nowMs, pack, record } from './batches.ts'
import { assertPromise, type House, isCaughtUp, openHouse, startProcess, until } from './house.ts'

const clocks = (seed: number) => {
  const random = createRandom(seed)
  let steadyMs = 0
  return { nowMs: () => nowMs + steadyMs, steadyMs: () => ++steadyMs, random: random.unit }
}

/** Spans as a receiver would see them, and the tracers that made them. */
function openTraces(ratio = 0) {
  const spans: Span[] = []
  const tracers: ReturnType<typeof openLaneTracer>[] = []
  const clock = clocks(7)
  return {
    spans,
    tracerOf(lane: number) {
      const tracer = openLaneTracer(lane, {
        topic: 'cloud-events',
        table: 'cloud_events',
        group: 'tests',
        publishes: true,
        ratio,
        clock,
        add: (all) => void spans.push(...all),
      })
      tracers.push(tracer)
      return tracer
    },
    get open() {
      return tracers.reduce((sum, tracer) => sum + tracer.open, 0)
    },
  }
}
type Traces = ReturnType<typeof openTraces>

let made = 0
const producerSpan = '00f067aa0ba902b7'
const traceIdOf = (n: number) => n.toString(16).padStart(32, 'a')
/** One in ten is sampled by its producer. */
const some = (count: number): EventSpec[] =>
  Array.from({ length: count }, () => {
    const n = ++made
    return { id: `e${n}`, ...(n % 10 === 0 && { traceparent: `00-${traceIdOf(n)}-${producerSpan}-01` }) }
  })

const isRoot = ({ name }: Span) => name === 'batch cloud-events'
const isEvent = ({ name }: Span) => name === 'process cloud-events'
const outcomes = (spans: readonly Span[]) => {
  const byTrace = new Map<string, Outcome[]>()
  for (const { context, attributes } of spans.filter(isEvent)) {
    const before = byTrace.get(context.traceId) ?? []
    byTrace.set(context.traceId, [...before, attributes[names.outcome] as Outcome])
  }
  return byTrace
}

function assertWhole({ spans, open }: Traces): void {
  assert.equal(open, 0)
  assert.equal(new Set(spans.map(({ context }) => context.spanId)).size, spans.length)
  for (const { startMs, endMs, moments, name } of spans) {
    assert.ok(startMs <= endMs, name)
    for (const { atMs } of moments) assert.ok(startMs <= atMs && atMs <= endMs, name)
  }
  for (const root of spans.filter(isRoot)) {
    const own = spans.filter(({ context }) => context.traceId === root.context.traceId)
    const rooms = own.filter((one) => one !== root)
    assert.ok(rooms.every(({ parent }) => parent?.spanId === root.context.spanId))
    assert.equal(new Set(rooms.map(({ name }) => name)).size, rooms.length)
    assert.ok(root.links.length <= 4)
    const followed = spans.filter(({ links }) => links[0]?.spanId === root.context.spanId)
    assert.deepEqual(
      followed.map(({ context, parent }) => [context.traceId, parent?.spanId]),
      root.links.map(({ traceId, spanId }) => [traceId, spanId]),
    )
  }
}

async function drained(house: House, traces: Traces, process: ReturnType<typeof startProcess>): Promise<void> {
  await until('all of it', () => isCaughtUp(house), process)
  await process.drain()
  assertPromise(house)
  assertWhole(traces)
}

test('a batch with a sampled event is a trace of five spans, and each such event one span in its own trace', async () => {
  const house = openHouse(1)
  const traces = openTraces()
  house.produce(0, { id: 'followed', traceparent: `00-${traceIdOf(1)}-${producerSpan}-01` }, { id: 'plain' })
  const process = startProcess(house, { lanes: 1, tracerOf: traces.tracerOf })
  await drained(house, traces, process)
  assert.deepEqual(
    traces.spans.map(({ name }) => name),
    [
      'batch cloud-events',
      'consume cloud-events',
      'decode cloud-events',
      'persist cloud_events',
      'publish cloud-events',
      'process cloud-events',
    ],
  )
  const event = traces.spans.at(-1) as Span
  assert.equal(event.context.traceId, traceIdOf(1))
  assert.deepEqual(event.parent, { spanId: producerSpan, remote: true })
  assert.deepEqual(
    event.moments.map(({ name }) => name),
    ['decoded', 'stored', 'published'],
  )
  assert.equal(event.attributes[names.outcome], 'published')
  assert.equal(
    event.attributes[names.row],
    [...house.database.rows.values()].find((one) => one.eventId === 'followed')?.id,
  )
  assert.ok(traces.spans.every(({ error }) => error === null))
})

test('batches that nobody samples are traced by the ratio', async () => {
  for (const [ratio, most] of [
    [0, 0],
    [1, 1],
  ] as const) {
    const house = openHouse(1)
    const traces = openTraces(ratio)
    const process = startProcess(house, { lanes: 1, rowsMax: 1, tracerOf: traces.tracerOf })
    house.produce(0, { id: `a${ratio}` }, { id: `b${ratio}` })
    await drained(house, traces, process)
    assert.equal(traces.spans.filter(isRoot).length > 0, most === 1)
  }
})

test("a bad record's producer sees why, a duplicate's that it was one", async () => {
  const house = openHouse(1)
  const traces = openTraces()
  const parent = (n: number) => ({ traceparent: `00-${traceIdOf(n)}-${producerSpan}-01` })
  house.produce(0, { id: 'x', ...parent(1) })
  const process = startProcess(house, { lanes: 1, tracerOf: traces.tracerOf })
  await until('the first', () => isCaughtUp(house), process)
  house.produce(0, { id: 'x', ...parent(2) })
  const tooOld = JSON.stringify({
    ...{ specversion: '1.0', id: 'o', source: '/s', type: 't', time: '2001-01-01T00:00:00Z' },
    ...parent(3),
  })
  house.produce(0, tooOld)
  await drained(house, traces, process)
  const found = outcomes(traces.spans)
  assert.deepEqual(
    [1, 2, 3].map((n) => found.get(traceIdOf(n))),
    [['published'], ['duplicate'], ['rejected']],
  )
  const rejected = traces.spans.find(({ context }) => context.traceId === traceIdOf(3))
  assert.equal(rejected?.error, 'time_out_of_window')
})

test('a busy world: retries are told within the span of their room, a bounded number of them', async () => {
  const house = openHouse()
  const traces = openTraces()
  let commits = 0
  const { commit } = house.database
  house.database.commit = (apply) => {
    if (commits++ < 20) throw new TransientError('POSTGRES_BUSY', 'secret words of a driver')
    return commit(apply)
  }
  const logged: (string | undefined)[] = []
  const process = startProcess(house, {
    lanes: 1,
    tracerOf: traces.tracerOf,
    observe: { retrying: (_room, _error, _attempt, _delayMs, traceId) => void logged.push(traceId) },
  })
  for (let partition = 0; partition < 4; partition++) house.produce(partition, ...some(30))
  await drained(house, traces, process)
  assert.equal(logged.length, 20)
  const roots = traces.spans.filter(isRoot).map(({ context }) => context.traceId)
  assert.ok(logged.some((traceId) => traceId !== undefined && roots.includes(traceId)))
  assert.ok(logged.every((traceId) => traceId === undefined || roots.includes(traceId)))
  const persists = traces.spans.filter(({ name }) => name === 'persist cloud_events')
  const told = persists.flatMap(({ moments }) => moments)
  assert.ok(told.length > 0 && told.length <= 8, `${told.length}`)
  assert.ok(told.every(({ attributes }) => attributes?.[names.error] === 'POSTGRES_BUSY'))
  assert.doesNotMatch(JSON.stringify(traces.spans), /secret words/)
})

test('a lane that starts over ends what was under way as lost, and what comes again is followed again', async () => {
  const house = openHouse()
  const traces = openTraces()
  const process = startProcess(house, { rowsMax: 10, tracerOf: traces.tracerOf })
  for (let round = 0; round < 10; round++) {
    house.produce(round % 4, ...some(20))
    await until('some of it', () => house.database.rows.size > round * 10, process)
    if (round % 3 === 1) house.streams.streams.clear()
    if (round % 3 === 2) await process.compareStreams()
  }
  await until('all that was produced', () => house.database.rows.size === house.produced.size, process)
  await process.compareStreams()
  await drained(house, traces, process)
  assert.ok(process.resets() > 0, 'a lane started over')
  const last = [...outcomes(traces.spans).values()].map((all) => all.at(-1))
  assert.ok(
    last.every((one) => one === 'published'),
    last.join(),
  )
  for (const span of traces.spans.filter(({ attributes }) => attributes[names.outcome] === 'lost'))
    assert.ok(span.error !== null)
})

test('Redis is away: what is stored says so, and is followed again when the streams are filled', async () => {
  const house = openHouse()
  const traces = openTraces()
  let isAway = true
  const { call } = house.streams
  house.streams.call = (apply, what) => {
    if (isAway && what?.startsWith('last id') !== true) throw new TransientError('REDIS_UNREACHABLE', 'away')
    return call(apply)
  }
  const process = startProcess(house, { rowsMax: 10, storesOn: true, tracerOf: traces.tracerOf })
  for (let partition = 0; partition < 4; partition++) house.produce(partition, ...some(50))
  await until('the rows', () => house.database.rows.size === house.produced.size, process)
  isAway = false
  await drained(house, traces, process)
  const all = [...outcomes(traces.spans).values()].flat()
  assert.ok(all.includes('stored') && all.includes('published'), all.join())
})

test('what a lane is given up for is told with the trace of the batch that met it', async () => {
  const traces = openTraces()
  const tracer = traces.tracerOf(0)
  const begun = (id: string, followed: boolean) => {
    const packed = pack({ partition: 0, records: [record(0, { id })] })
    const batch = decode(packed)
    const traced = followed
      ? [{ traceId: traceIdOf(1), spanId: producerSpan, state: null, slice: 0, offset: 0, row: 0, reject: null }]
      : []
    const trace = tracer.begin(packed, [])
    return trace.decoded({ ...batch, traced })
  }
  const [older, younger] = [begun('a', true), begun('b', true)]
  assert.equal(begun('c', false), null)
  const lost = new LostError('FENCED', 'elsewhere')
  older?.enter('publish')
  younger?.enter('persist')
  younger?.leave('persist', lost)
  older?.leave('publish', lost)
  assert.equal(tracer.abandon(lost), younger?.traceId)
  assert.equal(tracer.open, 0)
  assert.equal(tracer.abandon(lost), undefined)
})

test('a killed process leaves nothing open', async () => {
  const house = openHouse()
  const traces = openTraces(1)
  for (let partition = 0; partition < 4; partition++) house.produce(partition, ...some(100))
  const process = startProcess(house, { rowsMax: 10, tracerOf: traces.tracerOf })
  await until('some of it', () => house.database.rows.size >= 40, process)
  await process.kill()
  assertWhole(traces)
})

test('off: no tracer, no spans, and entries are the bytes that came', async () => {
  const house = openHouse(1)
  house.produce(0, { id: 'x', traceparent: `00-${traceIdOf(1)}-${producerSpan}-01` }, { id: 'y' })
  const process = startProcess(house, {
    lanes: 1,
    observe: { decoded: (batch) => assert.deepEqual(batch.traced, []) },
  })
  await until('all of it', () => isCaughtUp(house), process)
  await process.drain()
  const [stream] = [...house.streams.streams.values()]
  assert.deepEqual(
    stream?.entries.map(({ event }) => JSON.parse(event).traceparent),
    [`00-${traceIdOf(1)}-${producerSpan}-01`, undefined],
  )
})
