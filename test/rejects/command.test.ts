/** What a person sees of rejects, and what discarding and exporting do: the command line on a real database. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type pg from 'pg'
import { loadSettings } from '../../src/process/load-settings.ts'
import { type RejectsFlags, rejectsCommand } from '../../src/rejects/command.ts'
import { useServer } from '../schema/database.ts'
import { rejects, start } from './run.ts'

const server = useServer()
const nowMs = Date.parse('2026-11-21T12:00:00Z')

interface World {
  readonly session: pg.Client
  readonly env: Readonly<Record<string, string>>
  run(action: Parameters<typeof rejectsCommand>[0], flags?: Partial<RejectsFlags>, id?: string): Promise<Said>
}
interface Said {
  readonly code: number
  readonly out: string
  readonly err: string
  readonly bytes: Buffer
}

async function worldOf(): Promise<World> {
  const session = await (await server.database()).connect()
  const { host, port, user, database } = session
  const env = {
    MILLRACE_POSTGRES: `postgres://${user}@${host}:${port}/${database}`,
    MILLRACE_POSTGRES_PASSWORD: session.password ?? '',
  }
  const { settings } = loadSettings({ env, directory: '/', needs: ['postgresUrl'] })
  await session.query(
    `insert into rejects (consumer, topic, partition, kafka_offset, kafka_time, key, value, headers, code, reason, decoder, event_type, tenant_id, attempts, rejected_at)
     values
      ('cloud-events', 'cloud-events', 0, 10, '2026-11-21T09:00:00Z', 'k', '{"id": 1}', '[["a", "MQ=="], ["none", null]]', 'attribute_type', 'Bad id.', 'ce@1', 'com.x.order', 'acme', 0, '2026-11-21T09:00:01Z'),
      ('cloud-events', 'cloud-events', 1, 10, '2026-11-21T10:00:00Z', null, '\\xff00fe', '[]', 'bad_utf8', E'At byte 0: \\x1b[31m.', 'ce@1', null, null, 1, '2026-11-21T10:00:01Z'),
      ('cloud-events', 'cloud-events', 1, 11, '2026-11-21T11:00:00Z', null, null, '[]', 'empty', 'No value.', 'ce@1', null, 'acme', 0, '2026-11-21T11:30:01Z'),
      ('other', 'others', 1, 12, '2026-11-21T11:00:00Z', null, 'x', '[]', 'not_json', 'No.', 'ce@1', null, null, 0, now())`,
  )
  return {
    session,
    env,
    async run(action, flags = {}, id) {
      let out = ''
      let err = ''
      let bytes = Buffer.alloc(0)
      const code = await rejectsCommand(
        action,
        id,
        { consumer: 'cloud-events', ...flags },
        { settings, actor: 'ann@desk', now: () => nowMs, signal: new AbortController().signal },
        {
          write: (text) => {
            out += text
          },
          writeError: (text) => {
            err += text
          },
          writeBytes: (given) => {
            bytes = Buffer.concat([bytes, given])
          },
          columns: 200,
          terminal: false,
        },
      )
      return { code, out, err, bytes }
    },
  }
}

const idsOf = ({ out }: Said) =>
  out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line).id)

test('list: newest first, every filter, counts by kind', async () => {
  const { run, session } = await worldOf()
  const found = async (flags: Partial<RejectsFlags>) => idsOf(await run('list', { ...flags, json: true }))
  assert.deepEqual(await found({}), ['3', '2', '1'])
  assert.deepEqual(await found({ limit: '2' }), ['3', '2'])
  assert.deepEqual(await found({ code: ['empty', 'bad_utf8'] }), ['3', '2'])
  assert.deepEqual(await found({ since: '1h' }), ['3'])
  assert.deepEqual(await found({ since: '2026-11-21T10:00:00', until: '2026-11-21T13:00:00+02:00' }), ['2'])
  assert.deepEqual(await found({ until: '2026-11-21' }), [])
  assert.deepEqual(await found({ partition: '1', tenant: 'acme' }), ['3'])
  assert.deepEqual(await found({ type: 'com.x.order' }), ['1'])
  assert.deepEqual(await found({ topic: 'others' }), [])
  assert.deepEqual(await found({ id: ['1', '4'] }), ['1'])
  assert.deepEqual(await found({ consumer: 'other' }), ['4'])
  await session.query("update rejects set state = 'discarded' where id = 2")
  assert.deepEqual(await found({ state: 'discarded' }), ['2'])
  assert.deepEqual(await found({ state: 'all' }), ['3', '2', '1'])

  const table = (await run('list', { state: 'all' })).out
  assert.match(table, /^id +rejected +record +code .*\n3 +2026-11-21 11:30:01Z +cloud-events\/1@11 +empty +open/)
  assert(!table.includes('\x1b') && table.includes('\\x1b[31m'), 'a record cannot paint the terminal')
  assert.match(
    (await run('list', { by: 'tenant', state: 'all' })).out,
    /^count .*\n2 +66\.7 % +acme .*\n1 +33\.3 % +\(unknown\).*\n3 in all\.\n$/,
  )
  const partitions = (await run('list', { by: 'partition', json: true })).out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).name)
  assert.deepEqual(partitions, ['cloud-events/0', 'cloud-events/1'])
  assert.match((await run('list', { tenant: 'nobody' })).out, /^No rejects/)
})

test('what is wrong with a command line is said, with what is allowed', async () => {
  const { run } = await worldOf()
  const refused = (flags: Partial<RejectsFlags>, what: RegExp) =>
    assert.rejects(run('list', flags), (error: Error & { code?: string; remedy?: string }) => {
      assert.equal(error.code, 'USAGE')
      assert.match(`${error.message} ${error.remedy}`, what)
      return true
    })
  await refused({ state: 'closed' }, /--state reads 'closed'.*open, redriving, redriven, discarded, all/)
  await refused({ since: 'yesterday' }, /--since/)
  await refused({ since: '2026-13-45' }, /--since reads/)
  await refused({ partition: '-1' }, /--partition/)
  await refused({ code: ['not_jsom'] }, /Did you mean 'not_json'/)
  await refused({ by: 'colour' }, /--by reads 'colour'/)
  await refused({ id: ['1; drop table rejects'] }, /--id/)
  await assert.rejects(run('show', {}, '99'), /There is no reject 99/)
  await assert.rejects(run('discard', { yes: true }), /--reason is missing/)
})

test('show: text as text, bytes as bytes, and --raw to the byte', async () => {
  const { run, session } = await worldOf()
  const text = (await run('show', {}, '1')).out
  assert.match(text, /reason +Bad id\./)
  assert.match(text, /record +cloud-events, partition 0, offset 10/)
  assert.match(text, /headers +a: 1\n +none: \(none\)/)
  assert.match(text, /value +9 bytes\n\{"id": 1\}\n/)
  assert.match((await run('show', {}, '2')).out, /000000 {2}ff 00 fe +\.\.\.\n/)
  assert.deepEqual((await run('show', { raw: true }, '2')).bytes, Buffer.from([0xff, 0, 0xfe]))
  assert.match((await run('show', {}, '3')).out, /value +\n\(none\)/)
  await session.query("update rejects set value = convert_to(repeat('é', 5000), 'UTF8') where id = 1")
  assert.match((await run('show', {}, '1')).out, /é\n\.\.\. 8,000 more of 10,000 bytes; --raw writes them all/)
  const whole = JSON.parse((await run('show', { json: true }, '1')).out)
  assert.equal(Buffer.from(whole.value, 'base64').toString(), 'é'.repeat(5000))
})

test('export: everything that is needed to produce them again, one per line, never over an older file', async (t) => {
  const { run } = await worldOf()
  const lines = (await run('export')).out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    lines.map(({ topic, partition, offset, key, value, headers, time }) => [
      topic,
      partition,
      offset,
      key,
      value,
      headers,
      time,
    ]),
    [
      [
        'cloud-events',
        0,
        '10',
        'aw==',
        'eyJpZCI6IDF9',
        [
          ['a', 'MQ=='],
          ['none', null],
        ],
        '2026-11-21T09:00:00.000Z',
      ],
      ['cloud-events', 1, '10', null, '/wD+', [], '2026-11-21T10:00:00.000Z'],
      ['cloud-events', 1, '11', null, null, [], '2026-11-21T11:00:00.000Z'],
    ],
  )
  const folder = await mkdtemp(join(tmpdir(), 'millrace-export-'))
  t.after(() => rm(folder, { recursive: true }))
  const output = join(folder, 'rejects.jsonl')
  const said = await run('export', { output, code: ['empty'] })
  assert.match(said.err, /^1 rejects in /)
  assert.deepEqual(
    (await readFile(output, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [lines[2]],
  )
  await assert.rejects(run('export', { output }), /exists/)
  await assert.rejects(run('export', { output: '/nowhere/x' }), /cannot be written \(ENOENT\)/)
})

test('discard: told first, done with --yes, written down, and only once; no row goes away', async () => {
  const { run, session } = await worldOf()
  const told = await run('discard', { tenant: 'acme' })
  assert.match(
    told.out,
    /^Would discard 2 rejects of 'cloud-events' \(state open; tenant acme\)\.\nNothing was changed/,
  )
  const { rows: none } = await session.query('select from audit')
  assert.equal(none.length, 0)
  assert.equal((await run('discard', { tenant: 'acme', yes: true, dryRun: true, reason: 'test data' })).out, told.out)
  const done = await run('discard', { tenant: 'acme', yes: true, reason: 'test data' })
  assert.match(done.out, /^Discarded 2 rejects, audit 1\./)
  const { rows: entries } = await session.query('select actor, action, target, detail from audit')
  assert.deepEqual(entries, [
    {
      actor: 'ann@desk',
      action: 'rejects discard',
      target: 'cloud-events',
      detail: {
        filter: { consumer: 'cloud-events', states: ['open'], tenant: 'acme' },
        reason: 'test data',
        discarded: 2,
      },
    },
  ])
  const { rows } = await session.query(
    'select id::int, state, audit_id::int, state_at is not null as at from rejects order by id',
  )
  assert.deepEqual(rows.slice(0, 3), [
    { id: 1, state: 'discarded', audit_id: 1, at: true },
    { id: 2, state: 'open', audit_id: null, at: false },
    { id: 3, state: 'discarded', audit_id: 1, at: true },
  ])
  assert.match((await run('show', {}, '1')).out, /action +rejects discard 1 by ann@desk: test data/)
  assert.match((await run('discard', { tenant: 'acme', yes: true, reason: 'again' })).out, /nothing was changed/)
  assert.equal((await session.query('select from audit')).rows.length, 1)
  await assert.rejects(run('discard', { state: 'redriven' }), /--state reads 'redriven'/)
})

test('the command line itself: whole exports through a pipe, and a reader that has seen enough', async () => {
  const { session, env } = await worldOf()
  await session.query(
    `insert into rejects (consumer, topic, partition, kafka_offset, kafka_time, value, code, reason, decoder)
     select 'cloud-events', 'cloud-events', 2, n, now(), convert_to(repeat('x', 1000), 'UTF8'), 'not_json', '', '' from generate_series(1, 2000) n`,
  )
  const whole = await rejects(env, 'export', '--code', 'not_json')
  assert.deepEqual([whole.code, whole.err, whole.out.split('\n').length], [0, '', 2001])
  const cut = start(env, 'src/main.ts', ['rejects', 'export'])
  cut.child.stdout?.once('data', () => cut.child.stdout?.destroy())
  const { code, err } = await cut.ended
  assert.deepEqual([code, err], [0, ''])
})
