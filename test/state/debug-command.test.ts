/** `millrace state debug` on a real PostgreSQL: as lines, and by keys at a terminal that the test holds in its hands. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type DebugContext, debugCommand } from '../../src/state/debug-command.ts'
import type { StateFlags } from '../../src/state/flags.ts'
import { millrace } from '../e2e/millrace.ts'
import { cleanEnv } from '../e2e/replica.ts'
import { until } from '../keeper/world.ts'
import { useServer } from '../schema/database.ts'
import { late, orderRows, today, type World, worldOf } from './world.ts'

const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const server = useServer()
const world = async () => worldOf(await server.database())

async function lines({ context }: World, subject: string | undefined, flags: Partial<StateFlags> = {}) {
  let out = ''
  const write = (text: string) => {
    out += text
  }
  const stdin = new EventEmitter() as unknown as DebugContext['stdin']
  const stdout = { write, columns: 100, rows: 40, isTerminal: false }
  const code = await debugCommand(subject, { consumer: 'cloud-events', ...flags }, { ...context, write, stdin, stdout })
  return {
    code,
    out,
    views: flags.json
      ? out
          .trim()
          .split('\n')
          .filter(Boolean)
          .map((one) => JSON.parse(one))
      : [],
  }
}

test('without a terminal: every event, or every stop', async () => {
  const one = await world()
  await one.put([...orderRows, late])
  const all = await lines(one, 'ord_1', { json: true })
  assert.deepEqual(
    all.views.map(({ position, event, before, after }) => [position, event.id, before?.amount ?? null, after.amount]),
    [
      [1, 'e1', null, 12.5],
      [2, 'late', 12.5, 12.5],
      [3, 'e2', 12.5, 13],
      [4, 'e3', 13, 14],
      [5, 'e4', 14, 14],
    ],
  )
  const stops = await lines(one, 'ord_1', {
    json: true,
    break: ['after.amount changes and before != null', 'type:*.fulfilled'],
  })
  assert.deepEqual(
    stops.views.map(({ event, hit }) => [event.id, hit]),
    [
      ['e2', 'after.amount changes and before != null'],
      ['e3', 'after.amount changes and before != null'],
      ['e4', 'type:*.fulfilled'],
    ],
  )
  assert.equal((await lines(one, 'ord_1', { json: true, limit: '2' })).views.length, 2)
  assert.match(
    (await lines(one, 'ord_1', { from: '2026-11-21' })).out,
    /^event 1 {2}2026-11-21T08:00:00Z {2}com.bss.order.fulfilled[\s\S]*~ \/status: "open" -> "fulfilled"/,
  )
  await assert.rejects(lines(one, 'ord_9'), { code: 'SUBJECT_UNKNOWN' })
  await assert.rejects(lines(one, undefined), { code: 'USAGE', message: /needs a subject, or --from/ })
  await assert.rejects(lines(one, 'ord_1', { break: ['data.amount'] }), { code: 'USAGE' })
  const run = await millrace(one.env, 'state', 'debug', 'ord_1', '--json', '--break', 'after.status = fulfilled')
  assert.deepEqual([run.code, JSON.parse(run.out).event.id], [0, 'e4'], run.err)
})

test('a range of all subjects: in order over pages, sealed days and hot ones; states are folded where a breakpoint asks', async () => {
  const one = await world()
  await one.fill(today - 1, 3000)
  await one.fill(today, 3000)
  await one.put(orderRows)
  await one.seal(today - 1)
  const from = '2026-11-20'
  const all = await lines(one, undefined, { from, json: true, limit: '10000', break: ['type:com.*'] })
  assert.equal(all.views.length, 6002 - (await after(one)))
  const places = all.views.map(({ event }) => `${event.time},${event.key}`)
  assert.deepEqual(places, places.toSorted())
  const stop = await lines(one, undefined, {
    from,
    json: true,
    break: ['after.status = fulfilled'],
    type: ['com.bss.order.fulfilled', 'com.bss.order.updated'],
  })
  assert.deepEqual(
    stop.views.map(({ event, before, reducer }) => [event.id, before.amount, before.changes, reducer]),
    [['e4', 14, 3, 'order']],
  )
  const used = await lines(one, undefined, { from, json: true, break: ['subject:sub_7'] })
  assert.deepEqual(
    used.views.map(({ after: state }) => state.changes),
    used.views.map((_, n) => n + 1),
  )
})

/** Events of today that are still to come by the test's clock. */
async function after({ session }: World) {
  const { rows } = await session.query(
    "select count(*)::int as n from cloud_events where event_time > '2026-11-21T12:00:00Z'",
  )
  return rows[0].n as number
}

test('by keys: step, back, run to a typed condition, look at the states, quit; the terminal is given back as it was', async () => {
  const { context, put } = await world()
  await put(orderRows)
  let out = ''
  let raw: boolean | null = null
  const keys = new EventEmitter()
  const stdin = Object.assign(keys, {
    isTTY: true,
    setRawMode: (on: boolean) => {
      raw = on
    },
    setEncoding() {},
    resume() {},
    pause() {},
  })
  const stdout = {
    write: (text: string) => {
      out += text
    },
    columns: 100,
    rows: 30,
    isTerminal: true,
  }
  const done = debugCommand('ord_1', { consumer: 'cloud-events' }, { ...context, stdin, stdout })
  const last = () => out.slice(out.lastIndexOf('\x1b[H'))
  const until = async (pattern: RegExp) => {
    for (const endMs = performance.now() + 10_000; !pattern.test(last()); ) {
      assert.ok(performance.now() < endMs, `${pattern} in ${last()}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  await until(/event 1 {2}2026-11-19T10:00:00Z/)
  keys.emit('data', 'nn')
  await until(/event 3 .*[\s\S]*~ \/amount: 13 -> 14/)
  keys.emit('data', 'b')
  await until(/event 2 /)
  keys.emit('data', ':nonsense\r')
  await until(/is not understood/)
  keys.emit('data', ':after.status = fulfilled\r')
  await until(/break after.status = fulfilled \(0\)/)
  keys.emit('data', 'r')
  await until(/event 4 .*stopped by after.status = fulfilled/)
  keys.emit('data', 'v')
  await until(/order before:[\s\S]*"status": "open"/)
  keys.emit('data', 'g')
  await until(/Before the first event/)
  assert.equal(raw, true)
  keys.emit('data', 'q')
  assert.equal(await done, 0)
  assert.equal(raw, false)
  assert.ok(out.includes('\x1b[?1049l'))
})

const script = ['/usr/bin/script', '/bin/script'].find(existsSync)

test('as a process at a real terminal: keys one by one, and the terminal as it was', {
  skip: script === undefined && 'no script(1) here',
}, async () => {
  const { env, put } = await world()
  await put(orderRows)
  const command = `${process.execPath} ${main} state debug ord_1`
  const child = spawn(script as string, ['-qec', command, '/dev/null'], {
    env: cleanEnv({ ...env, TERM: 'xterm' }) as NodeJS.ProcessEnv,
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  const ended = once(child, 'close')
  const last = () => out.slice(out.lastIndexOf('\x1b[H'))
  const shows = (pattern: RegExp) => until(String(pattern), () => pattern.test(last()))
  await shows(/event 1 /)
  child.stdin.write(' ')
  await shows(/event 2 /)
  child.stdin.write('\x1b[C')
  await shows(/event 3 /)
  child.stdin.write('\x03')
  const [code] = await ended
  assert.equal(code, 0)
  assert.ok(out.includes('\x1b[?1049l'), 'the other screen is left')
  assert.match(out.slice(out.lastIndexOf('\x1b[?1049l')), /event 3 /)
})
