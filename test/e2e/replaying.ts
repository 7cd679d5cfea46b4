/** Replays as processes, for the tests of replays. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { World } from './harness.ts'
import { millrace } from './millrace.ts'
import { type Events, note } from './replayed.ts'
import { cleanEnv } from './replica.ts'
import { until } from './until.ts'

export const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** MILLRACE_REPLAY_EVENTS=1000000 for more than the short run. */
export const events = Number(process.env.MILLRACE_REPLAY_EVENTS ?? 20_000)

export const onAnswer = (all: Events) => (records: Parameters<typeof note>[1], acknowledged: boolean) => {
  assert(acknowledged)
  note(all, records)
}

export async function replay(world: World, ...args: string[]): Promise<Record<string, unknown>> {
  const { code, out, err } = await millrace(world.env, 'replay', '--json', '--rate', 'max', ...args)
  assert.equal(code, 0, err)
  // Of Node, about what we do.
  assert.doesNotMatch(err, /Warning/)
  return JSON.parse(out)
}

/** A file of a million events is longer than a string may be. */
export function linesOf(path: string): string[] {
  const bytes = readFileSync(path)
  const lines: string[] = []
  for (let from = 0, end = bytes.indexOf(10); end >= 0; from = end + 1, end = bytes.indexOf(10, from))
    lines.push(bytes.toString('utf8', from, end))
  return lines
}

/** One JSON array, an event a line: each is JSON, and what stands around them makes the whole JSON. */
export function batchOf(path: string): string[] {
  const lines = linesOf(path)
  assert.deepEqual([lines[0], lines.at(-1)], ['[', ']'])
  return lines.slice(1, -1).map((line, index, { length }) => {
    assert.equal(line.endsWith(','), index < length - 1)
    return index < length - 1 ? line.slice(0, -1) : line
  })
}

export async function entriesOf(world: World, stream: string): Promise<string[]> {
  const found = await world.redis.xrange(stream, '-', '+')
  return found.map(([, fields]) => fields[1] as string)
}

export function start(world: World, ...args: string[]) {
  const process_ = spawn(process.execPath, [main, 'replay', ...args], { env: cleanEnv(world.env) as NodeJS.ProcessEnv })
  const said = { out: '', err: '' }
  process_.stdout.on('data', (text) => {
    said.out += text
  })
  process_.stderr.on('data', (text) => {
    said.err += text
  })
  return { process: process_, out: () => said.out, err: () => said.err }
}

/** Until it has noted some of its way; answers how much. */
export function onItsWay(world: World, id: string): Promise<number> {
  return until('the replay to be on its way', 30_000, async () => {
    const { rows } = await world.sql.query("select saved->'events' as events from replays where id = $1", [id])
    return rows[0]?.events > events / 10 ? (rows[0].events as number) : null
  })
}

/** Starts a replay at a rate, kills it on its way, and says how far that was. */
export async function killed(world: World, t: TestContext, id: string, ...args: string[]): Promise<void> {
  const child = start(world, '--id', id, '--rate', String(Math.round(events / 4)), ...args)
  const noted = await onItsWay(world, id)
  child.process.kill('SIGKILL')
  await once(child.process, 'exit')
  const { rows } = await world.sql.query('select state from replays where id = $1', [id])
  assert.equal(rows[0].state, 'running')
  t.diagnostic(`${id} killed after ${noted} events were noted`)
}
