/**
 * What traces cost: the same process over the same events, with traces off and on, in turns. Every event has a `traceparent` header, as from producers
 * with OpenTelemetry, and one in a hundred is sampled. The receiver takes what comes and does nothing with it: it is not what is measured, though it
 * runs on the same cores.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventId } from '../src/core/identity.ts'
import { median } from '../src/core/median.ts'
import type { SimulatedRecord } from '../src/simulate/events.ts'
import { simulate } from '../src/simulate/kafka.ts'
import { pass } from './pass.ts'
import { inTurns } from './turns.ts'
import { topic, unexplained, type World } from './world.ts'

const sampledOneIn = 100

/** Ids made from the event, so that every run has the same ones. */
function followed(record: SimulatedRecord): SimulatedRecord {
  const id = eventId(record.timestampMs, record.source, record.id).replaceAll('-', '')
  const isSampled = Number.parseInt(id.slice(-8), 16) % sampledOneIn === 0
  const traceparent = `00-${id}-${id.slice(16)}-${isSampled ? '01' : '00'}`
  const { ce_traceparent: _, ...headers } = record.headers
  return { ...record, headers: { ...headers, traceparent } }
}

async function openReceiver() {
  let requests = 0
  let bytes = 0
  const server = createServer((request, response) => {
    requests++
    request.on('data', (part: Buffer) => {
      bytes += part.length
    })
    request.on('end', () => response.writeHead(200, { 'content-type': 'application/json' }).end('{}'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    taken: () => ({ requests, bytes }),
    [Symbol.dispose]() {
      server.close()
      server.closeAllConnections()
    },
  }
}

export async function traces(world: World, events: number, rounds: number): Promise<object> {
  const { stack, signal, say } = world
  using receiver = await openReceiver()
  say(`producing ${events} events, one in ${sampledOneIn} sampled`)
  await simulate({
    kafka: { brokers: [stack.kafka] },
    topic,
    seed: 1,
    binary: 1,
    rate: Number.POSITIVE_INFINITY,
    events,
    acks: 1,
    shape: followed,
    signal,
    now: Date.now,
    explain: unexplained,
  })
  const ends = await world.ends()
  const count = [...ends.values()].reduce((sum, one) => sum + one, 0)
  const begins = new Map([...ends.keys()].map((partition) => [partition, 0]))
  const settings = {
    off: { MILLRACE_TRACES: 'off' },
    on: { MILLRACE_TRACES: 'on', OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint },
  }
  const names = ['off', 'on'] as const
  say('warming up')
  await pass(world, begins, count, settings.on)
  const rates = await inTurns(
    names,
    rounds,
    (name) => pass(world, begins, count, settings[name]),
    (round, name, rate) => say(`  round ${round} traces ${name.padEnd(3)} ${Math.round(rate)} records/s`),
  )
  const [off, on] = [median(rates.off), median(rates.on)]
  const ratio = on / off
  process.stdout.write(`traces off ${Math.round(off)} records/s, on with 1 % sampled ${Math.round(on)}: `)
  process.stdout.write(`${ratio.toFixed(3)} of off\n`)
  return { events: count, rounds, rates, ratio, receiver: receiver.taken() }
}
