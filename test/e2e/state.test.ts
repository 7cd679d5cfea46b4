/** What the fleet has stored, asked for at a time: for every kind of subject the same as a fold of Kafka's own records, read by other code. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventId } from '../../src/core/identity.ts'
import { canonicalJson, type Json } from '../../src/core/json.ts'
import type { ReducedEvent } from '../../src/define.ts'
import { registerCodecs } from '../../src/flow/consume/codecs.ts'
import { fitting, loadReducers } from '../../src/process/load-reducer.ts'
import { createFold } from '../../src/state/fold.ts'
import { instantOfMs } from '../../src/state/instant.ts'
import { withHistory } from '../../src/state/postgres-history.ts'
import { makeSnapshot } from '../../src/state/snapshots.ts'
import { foldTo } from '../../src/state/state-at.ts'
import { topic, useStack, type World } from './harness.ts'
import { millrace } from './millrace.ts'
import { until } from './until.ts'

registerCodecs()
const servers = useStack()
const table = 'cloud_events'

/** Every event of the topic, once, in the order of time and key. */
async function produced(world: World): Promise<ReducedEvent[]> {
  const found = new Map<string, ReducedEvent>()
  const seen = new Map<number, number>()
  const ends = await world.ends()
  const consumer = world.kafka.consumer({ groupId: `${world.name}-beside` })
  let failure: unknown
  consumer.on('consumer.crash', ({ payload }) => {
    failure = payload.error
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      const headers = new Map(Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]))
      const value = message.value === null ? null : JSON.parse(message.value.toString())
      const isBinary = headers.has('ce_specversion')
      const text = (name: string) => (isBinary ? headers.get(`ce_${name}`) : value[name]) as string | undefined
      const ms = Date.parse(text('time') ?? '') || Number(message.timestamp)
      const [source = '', id = ''] = [text('source'), text('id')]
      const key = eventId(ms, source, id)
      found.set(key, {
        key,
        source,
        id,
        type: text('type') ?? '',
        subject: text('subject') ?? '',
        time: instantOfMs(ms),
        tenant: text('tenantid') ?? null,
        data: (isBinary ? value : value.data) as Json,
        dataBase64: null,
        extensions: {},
      })
      seen.set(partition, Number(message.offset) + 1)
    },
  })
  await until('all of Kafka', 60_000, async () => {
    if (failure !== undefined) throw failure
    return [...ends].every(([at, end]) => (seen.get(at) ?? 0) >= end) || null
  })
  await consumer.disconnect()
  return [...found.values()].sort((a, b) => (`${a.time},${a.key}` < `${b.time},${b.key}` ? -1 : 1))
}

test('orders, customers and subscriptions at any time, with and without snapshots, are what Kafka says they were', async (t) => {
  const world = await servers.world(t)
  await world.replica()
  await world.load({ rate: 2000, events: 4000, poison: 0, duplicates: 0.01, keySkew: 1.3 }).done
  await world.untilDrained()
  const events = await produced(world)
  assert.equal(events.length, await world.rows())
  const reducers = await loadReducers()
  const subjects = [...new Set(events.map(({ subject }) => subject))].filter((one) => fitting(reducers, one) !== null)
  const most = subjects.filter((one) => events.filter(({ subject }) => subject === one).length > 3)
  assert.ok(most.length > 20, `${most.length} subjects with a history`)
  const { sql, random } = world
  let compared = 0
  const compare = async (subject: string, at: string) => {
    const reducer = fitting(reducers, subject)
    assert.ok(reducer)
    const fold = createFold(reducer)
    const mine = events.filter((one) => one.subject === subject && one.time <= at)
    const wanted = mine.reduce<Json>((state, event) => fold(state, event), null)
    const found = await withHistory(sql, table, (history) => foldTo(history, reducer, subject, { time: at }))
    assert.equal(canonicalJson(found.state), canonicalJson(wanted), `${subject} at ${at}`)
    assert.equal(found.events, mine.length)
    compared++
    return found
  }
  const instants = () => events[random.below(events.length)]?.time ?? ''
  for (const subject of most)
    for (const at of [instants(), instants(), events.at(-1)?.time ?? '']) await compare(subject, at)
  let used = 0
  for (const subject of most) {
    const reducer = fitting(reducers, subject)
    const mine = events.filter((one) => one.subject === subject)
    const at = mine[random.below(mine.length)]?.time ?? ''
    assert.ok(reducer)
    await makeSnapshot({ session: sql, table, actor: 'test' }, reducer, subject, at)
    for (const when of [at, instants(), events.at(-1)?.time ?? '']) {
      if ((await compare(subject, when)).snapshot !== null) used++
    }
  }
  assert.ok(used >= 2 * most.length)
  t.diagnostic(`${compared} states of ${most.length} subjects, ${used} of them from snapshots`)
  const shown = await millrace(world.env, 'state', 'show', most[0] as string, '--json')
  assert.equal(shown.code, 0, shown.err)
  assert.equal(JSON.parse(shown.out).events, events.filter(({ subject }) => subject === most[0]).length)
  const checked = await millrace(world.env, 'state', 'snapshots', '--check', '--json', '--limit', '1000')
  assert.equal(checked.code, 0, checked.err)
  assert.ok(JSON.parse(checked.out).snapshots.every(({ verdict }: { verdict: string }) => verdict === 'right'))
})
