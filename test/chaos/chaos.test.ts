/**
 * The short set: the command line, the count going red for every kind of harm done to it by hand, and a few rounds of some scenarios. The other tests
 * share the cores with these, so the claim here is the count alone; the stated recovery times are those of `npm run chaos`.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { check } from './check.ts'
import { openGrounds } from './ground/ground.ts'
import { runScenario } from './run.ts'
import { scenarios } from './scenarios/index.ts'
import { type OpenWorld, openWorld } from './world.ts'

const rate = 500
const partitions = 12
const seed = Number(process.env.MILLRACE_TEST_SEED ?? Math.floor(Math.random() * 1e9))
const over = new AbortController()
const grounds = openGrounds(over.signal)
after(async () => {
  over.abort()
  await grounds.close()
})

function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(import.meta.dirname, 'main.ts'), ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

test('help names every option, --list every scenario; a wrong command line is told and is 2', async () => {
  const help = await run('--help')
  assert.equal(help.code, 0)
  for (const option of [
    'scenario',
    'all',
    'list',
    'rounds',
    'seed',
    'rate',
    'replicas',
    'partitions',
    'write',
    'json',
  ]) {
    assert.ok(help.stdout.includes(`--${option}`), option)
  }
  const { stdout } = await run('--list')
  for (const { name } of scenarios) assert.match(stdout, new RegExp(`^${name} `, 'm'))
  for (const wrong of [
    [],
    ['--scenario', 'none'],
    ['--all', '--rounds', '0'],
    ['--all', '--scenario', 'kill'],
    ['x'],
  ]) {
    const { code, stderr } = await run(...wrong)
    assert.equal(code, 2, wrong.join(' '))
    assert.match(stderr, /^millrace: USAGE: /)
  }
})

/** Each harms what was counted, says what must be found, and is undone. */
const harms: readonly {
  readonly what: string
  readonly finds: 'lost' | 'duplicated' | 'outOfOrder' | 'wrong'
  readonly told: RegExp
  do(world: OpenWorld): Promise<() => Promise<unknown>>
}[] = [
  {
    what: 'a row is deleted',
    finds: 'lost',
    told: /acknowledged, and not a row/,
    async do({ sql }) {
      await sql('CREATE TABLE kept AS SELECT * FROM cloud_events ORDER BY id LIMIT 1')
      await sql('DELETE FROM cloud_events WHERE id = (SELECT id FROM kept)')
      return async () => {
        await sql('INSERT INTO cloud_events SELECT * FROM kept')
        await sql('DROP TABLE kept')
      }
    },
  },
  {
    what: 'a row is there twice, under another key',
    finds: 'duplicated',
    told: /more than one row/,
    async do({ sql }) {
      await sql('CREATE TABLE kept AS SELECT * FROM cloud_events ORDER BY id LIMIT 1')
      await sql("UPDATE kept SET id = overlay(id::text placing '0000' from 33)::uuid, kafka_offset = 1000000")
      await sql('INSERT INTO cloud_events SELECT * FROM kept')
      return async () => {
        await sql('DELETE FROM cloud_events WHERE id = (SELECT id FROM kept)')
        await sql('DROP TABLE kept')
      }
    },
  },
  {
    what: 'a row says another id',
    finds: 'wrong',
    told: /a row of what was never sent/,
    async do({ sql }) {
      const one = '(SELECT id FROM cloud_events ORDER BY id LIMIT 1)'
      const [row] = await sql<{ event_id: string }>(`SELECT event_id FROM cloud_events WHERE id = ${one}`)
      await sql(`UPDATE cloud_events SET event_id = 'another' WHERE id = ${one}`)
      return () => sql("UPDATE cloud_events SET event_id = $1 WHERE event_id = 'another'", [row?.event_id])
    },
  },
  {
    what: 'a reject is deleted',
    finds: 'lost',
    told: /a bad record acknowledged, and not in rejects/,
    async do({ sql }) {
      await sql('CREATE TABLE kept AS SELECT * FROM rejects ORDER BY id LIMIT 1')
      await sql('DELETE FROM rejects WHERE id = (SELECT id FROM kept)')
      return async () => {
        await sql('INSERT INTO rejects OVERRIDING SYSTEM VALUE SELECT * FROM kept')
        await sql('DROP TABLE kept')
      }
    },
  },
  {
    what: 'an entry is deleted',
    finds: 'lost',
    told: /a row without its entry/,
    do: (world) => rewrite(world, (all) => void all.splice(1, 1)),
  },
  {
    what: 'two entries change places',
    finds: 'outOfOrder',
    told: /an entry at another event's place/,
    do: (world) =>
      rewrite(world, (all) => {
        const [one, other] = all as [Entry, Entry]
        ;[one.event, other.event] = [other.event, one.event]
      }),
  },
  {
    what: 'an entry is added',
    finds: 'wrong',
    told: /an entry without its row/,
    do: (world) =>
      rewrite(world, (all) => {
        const last = all.at(-1) as Entry
        all.push({ id: `${Number(last.id.split('-')[0]) + 1000}-0`, event: last.event })
      }),
  },
  {
    what: 'an event that was acknowledged is nowhere',
    finds: 'lost',
    told: /acknowledged, and not a row: \(\/tests, nowhere\)/,
    async do({ account }) {
      account.addEvent({ source: '/tests', id: 'nowhere', partition: 0, timeMs: Date.now() }, true)
      return async () => {}
    },
  },
]

interface Entry {
  id: string
  event: Buffer
}

/** Writes one stream anew, with its entries changed; and back. */
async function rewrite({ redis }: OpenWorld, change: (entries: Entry[]) => void): Promise<() => Promise<void>> {
  const [key] = (await redis.keys('events:usage:*')).sort() as [string]
  const was = (await redis.xrangeBuffer(key, '-', '+')).map(([id, fields]) => ({
    id: `${id}`,
    event: fields[1] as Buffer,
  }))
  const write = async (entries: readonly Entry[]) => {
    await redis.del(key)
    for (const { id, event } of entries) await redis.xadd(key, id, 'event', event)
  }
  const changed = was.map((entry) => ({ ...entry }))
  change(changed)
  await write(changed)
  return () => write(was)
}

test('the count sees every kind of harm', async (t) => {
  const quiet = {
    name: 'quiet',
    what: 'nothing happens',
    rounds: 0,
    recoveryMsMax: 1,
    needs: {},
    round: async () => {},
  }
  const ground = await grounds.of({})
  const tell = (text: string) => t.diagnostic(text)
  const world = await openWorld({ scenario: quiet, ground, seed, rate, partitions, signal: over.signal, tell })
  try {
    await world.start()
    world.startMainLoad()
    await world.untilServing()
    await world.sleep(2000)
    await world.load.stop()
    await world.untilRecovered(60_000)
    assert.deepEqual(await world.fleet.stop(), [])
    const sound = await check(world)
    assert.deepEqual(sound.problems, [])
    assert.ok(sound.events > 500 && sound.rejects > 0 && sound.entries === sound.rows)
    for (const { what, finds, told, do: harm } of harms) {
      const undo = await harm(world)
      const found = await check(world)
      assert.ok(found[finds] > 0, `${what}: ${finds} is ${found[finds]}`)
      const sentence = found.problems.find((problem) => told.test(problem))
      assert.ok(sentence?.startsWith(finds), `${what}: ${found.problems.join('\n')}`)
      t.diagnostic(`${what}: ${sentence}`)
      await undo()
    }
  } finally {
    await world.close()
  }
})

for (const scenario of scenarios) {
  const { name, shortRounds, replicas = 3 } = scenario
  if (shortRounds === undefined) continue
  test(`${name}: ${shortRounds} rounds`, async (t) => {
    t.diagnostic(`MILLRACE_TEST_SEED=${seed}`)
    const why = (await scenario.notHere?.()) ?? null
    if (why !== null) return t.skip(why)
    const result = await runScenario({
      scenario,
      rounds: shortRounds,
      seed,
      rate: Math.min(rate, scenario.rate ?? rate),
      replicas,
      partitions,
      recoveryFactor: 5,
      signal: over.signal,
      ground: () => grounds.of(scenario.needs),
      onTold: (_, text) => t.diagnostic(text),
      onLook() {},
    })
    assert.ok(result.holds, `${result.problems.join('\n')}\nlogs: ${result.folder}`)
    t.diagnostic(JSON.stringify(result.counted))
  })
}
