/**
 * Holds the arrows of the house: who may import whom, and where the clock, chance, the environment and each driver may be touched. Everything that
 * is not named here is not allowed; an exception is one row with its reason.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '..')

interface Edge {
  readonly from: string
  /** A path from the root, or a package. */
  readonly to: string
  readonly type: boolean
}

const statement = /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|import\(\s*'([^']+)'\s*\)/g

function edgesOf(from: string, text: string): Edge[] {
  return [...text.matchAll(statement)].map(([, type, named, dynamic]) => {
    const to = named ?? (dynamic as string)
    return { from, to: to.startsWith('.') ? normalize(join(dirname(from), to)) : to, type: type !== undefined }
  })
}

const files = ['src', 'consumers', 'reducers'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.m?ts$|\.mjs$/.test(file))
    .map((file) => join(folder, file)),
)
const texts = new Map(files.map((file) => [file, readFileSync(join(root, file), 'utf8')]))
const edges = [...texts].flatMap(([file, text]) => edgesOf(file, text))

// --- arrows -------------------------------------------------------------------------------------------------------------------------------------

const isOurs = (path: string) => /^(src|consumers|reducers|test|bench|bin)\//.test(path)
const rooms = ['consume', 'decode', 'persist', 'publish', 'settle']
const isPort = (path: string) => rooms.some((room) => path === `src/flow/${room}/port.ts`)

/** From a folder or file to what it may import of ours. The first row that fits counts. */
const arrows: readonly (readonly [from: RegExp, to: (edge: Edge) => boolean])[] = [
  // A JSON Schema may be a file beside it.
  [/^consumers\//, ({ to }) => /^(src\/define\.ts$|src\/decoders\/|consumers\/.*\.json$)/.test(to)],
  [/^reducers\//, ({ to }) => to === 'src/define.ts' || to.startsWith('reducers/')],
  [/^src\/core\//, ({ to }) => to.startsWith('src/core/')],
  // Only what tells a mistake in a consumer file is more than a type.
  [/^src\/define\.ts$/, ({ to, type }) => to.startsWith('src/core/') && (type || to === 'src/core/business.ts')],
  [/^src\/decoders\//, ({ to }) => /^src\/(core|decoders)\//.test(to) || to === 'src/define.ts'],
  // A room: its own files, core, what a consumer is; of other rooms and the hallway only what they promise.
  [
    /^src\/flow\/\w+\//,
    ({ from, to, type }) => {
      const [, , room] = from.split('/')
      if (to.startsWith('src/core/') || to.startsWith(`src/flow/${room}/`)) return true
      return type && (to === 'src/define.ts' || isPort(to) || to === 'src/flow/lane.ts')
    },
  ],
  // The hallway: it sees ports, never what is behind them.
  [
    /^src\/flow\/[^/]+$/,
    ({ to, type }) =>
      /^src\/(core\/|flow\/[^/]+$)/.test(to) || (type && (isPort(to) || to === 'src/flow/settle/settler.ts')),
  ],
  [/^src\/schema\//, ({ to }) => /^src\/(core|schema)\//.test(to)],
  // Records read without a group, for the wings that do so, in all codecs.
  [
    /^src\/records\//,
    ({ to }) => /^src\/(core\/|records\/|flow\/consume\/(kafkajs-insides|kafkajs-fetch|codecs)\.ts$)/.test(to),
  ],
  // What a fleet looks like: of what it tells, and nothing else.
  [/^src\/live\//, ({ to }) => /^src\/(core|live)\//.test(to)],
  // A process of the fleet runs the flow, and the keeper of its days beside it, and shows itself.
  [/^src\/process\//, ({ to }) => /^src\/(core|schema|process|flow|keeper|live)\//.test(to) || to === 'src/define.ts'],
  // npm start is made of the other wings.
  [
    /^src\/start\//,
    ({ to }) => /^src\/(core|schema|process|simulate|stack|start|verify|live)\//.test(to) || to === 'src/define.ts',
  ],
  // The load tester is npm start with other loads, and a report.
  [/^src\/load\//, ({ to }) => /^src\/((core|simulate|stack|start|verify|load|live)\/|process\/connect-)/.test(to)],
  // It finds the fleet of `npm start` by what that leaves beside its servers.
  [/^src\/top\//, ({ to }) => /^src\/((core|live|top)\/|stack\/(state|fleet|lock)\.)/.test(to)],
  // The faces of replay, state and offsets for a network.
  [
    /^src\/gateway\//,
    ({ to }) => /^src\/((core|schema|replay|state|offsets|gateway)\/|process\/(connect|load)-)/.test(to),
  ],
  [/^src\/main\.ts$/, ({ to }) => !to.startsWith('test/')],
  // Every other wing: core, ports, the schema, records, how to connect; never a room's inside, never another wing. Whoever makes a client of kafkajs mends it
  // first, and whoever reaches into it asks which one it is.
  [
    /^src\/(\w+)\//,
    ({ from, to, type }) => {
      const [, wing] = from.split('/')
      if (to.startsWith(`src/${wing}/`) || /^src\/(core|schema|records)\//.test(to) || to === 'src/define.ts')
        return true
      if (/^src\/flow\/consume\/kafkajs-(mend|insides)\.ts$/.test(to)) return true
      return /^src\/process\/(connect|load|rights)-/.test(to) || (type && isPort(to))
    },
  ],
]

const exceptions: Readonly<Record<string, string>> = {
  'src/flow/persist/postgres.ts -> src/schema/partitions.ts':
    'a missing day is made on demand, by the one piece of code that makes days',
  'src/simulate/postgres-store.ts -> src/flow/persist/copy-transaction.ts': 'one way to send a COPY',
  'src/simulate/postgres-store.ts -> src/flow/persist/sql.ts': 'the columns of a row, in their order',
  'src/start/prepare.ts -> src/flow/consume/kafkajs-mend.ts': 'whoever makes a client of kafkajs mends it first',
  'src/simulate/senders.ts -> src/process/node-flags.mjs': "Node's options stand in one place",
  'src/simulate/kafka.ts -> src/flow/consume/codecs.ts': 'the names of the codecs it can send with',
  'src/simulate/record-batch.ts -> src/flow/consume/codecs.ts': 'the codecs it sends with',
  'src/offsets/decide.ts -> src/flow/publish/keys.ts': 'where a stream is to be looked for',
  'src/offsets/decide.ts -> src/flow/publish/redis.ts': 'how far the streams are, asked as publish/ asks',
  'src/offsets/read.ts -> src/flow/consume/kafkajs-topic-id.ts': 'the one request that tells which topic it is',
  'src/gateway/page.ts -> src/live/colours.ts': 'the pages have the same colours',
  'src/state/debug-command.ts -> src/live/screen.ts': 'how frames are drawn in place',
  'src/replay/entry.ts -> src/decoders/media-type.ts':
    'bytes that are text become a string, as in the entry of a stream',
  'src/replay/http-message.ts -> src/decoders/media-type.ts': 'which data is JSON',
  'src/replay/redis-target.ts -> src/flow/publish/classify.ts': 'what an error of Redis means is one table',
  'src/verify/verify.ts -> src/flow/publish/keys.ts': 'where a stream is to be looked for',
}

/** Wiring: nothing but main.ts, tests and simulations may reach these. */
const isWiring = (path: string) => path === 'src/main.ts' || path.endsWith('/memory.ts')

function forbidden(edge: Edge): boolean {
  const { from, to } = edge
  if (!isOurs(to)) return false
  if (`${from} -> ${to}` in exceptions) return false
  if (isWiring(to) && !/^src\/simulate\//.test(from)) return true
  const arrow = arrows.find(([folder]) => folder.test(from))
  return arrow === undefined || !arrow[1](edge)
}

// --- packages -----------------------------------------------------------------------------------------------------------------------------------

/** A package, and the files whose names or task say that they are about it. Types of it may be named by whoever is handed one. */
const packages: Readonly<Record<string, RegExp>> = {
  kafkajs: /(^|\/)(connect-|rights-)?kafka[^/]*\.ts$|^src\/flow\/consume\/codecs\.ts$/,
  pg: /(^|\/)(connect-)?postgres[^/]*\.ts$|^src\/flow\/persist\/sql\.ts$/,
  ioredis: /(^|\/)(connect-|rights-)?redis[^/]*\.ts$/,
  'ajv/dist/2020.js': /^src\/decoders\/json-schemas\.ts$/,
  piscina: /^src\/flow\/decode\/(piscina|worker)\.ts$/,
  snappy: /^src\/core\/codecs\.ts$/,
  'lz4-napi': /^src\/core\/codecs\.ts$/,
  zod: /^src\/(core\/settings[^/]*|gateway\/(openapi|route|server|describe|[a-z]+-(routes|schemas)))\.ts$/,
  fastify: /^src\/gateway\/server\.ts$/,
  'prom-client': /^src\/core\/registry\.ts$/,
  pino: /^src\/process\/log\.ts$/,
  commander: /^src\/main\.ts$/,
}

const packageExceptions: Readonly<Record<string, string>> = {
  'src/process/open-rooms.ts -> kafkajs': 'makes the client from the configuration that connect-kafka.ts gives',
  'src/simulate/command.ts -> kafkajs': 'the same',
  'src/start/prepare.ts -> kafkajs': 'the same',
  'src/verify/verify.ts -> kafkajs': 'the same',
  'src/replay/command.ts -> pg': "which errors are the server's",
  'src/verify/command.ts -> pg': 'how int8 is read, for the whole of its connection',
}

/** Pure folders may use no more of Node than this. */
const builtins: Readonly<Record<string, readonly string[]>> = {
  'src/core/': ['node:buffer', 'node:crypto', 'node:zlib'],
  'src/decoders/': ['node:buffer'],
  'src/define.ts': [],
  'consumers/': [],
  'reducers/': [],
}

function forbiddenPackage({ from, to, type }: Edge): boolean {
  if (isOurs(to)) return false
  if (to.startsWith('node:')) {
    const pure = Object.entries(builtins).find(([folder]) => from.startsWith(folder))
    return pure !== undefined && !pure[1].includes(to)
  }
  const files = packages[to]
  if (files === undefined) return true
  if (files.test(from) || `${from} -> ${to}` in packageExceptions) return false
  return !(type && !/^(src\/(core|decoders)\/|src\/define|consumers\/)/.test(from))
}

// --- what only main.ts touches --------------------------------------------------------------------------------------------------------------------

const impure = /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bprocess\.(env|argv)\b|\brandomUUID\b|\brandomBytes\b/

const impureExceptions: Readonly<Record<string, string>> = {
  'src/flow/consume/kafkajs-mend.ts': 'compares with a time that kafkajs has taken from Date.now itself',
  'src/simulate/sender.ts': 'the main file of a process of its own: a function cannot be handed over to it',
  'src/stack/ports.ts': 'which free port to try first; an argument whose default is chance',
  'src/stack/lock.mjs': 'how old a lock file is, by the clock that wrote it; and runs before anything is installed',
}

/** Code without comments: a comment may name what it likes. */
const code = (text: string) => text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '')

// ------------------------------------------------------------------------------------------------------------------------------------------------

const shown = ({ from, to, type }: Edge) => `${from} -> ${to}${type ? ' (type)' : ''}`

test('every import follows the arrows of the house', () => {
  assert.deepEqual(edges.filter(forbidden).map(shown), [])
})

test('every package is imported only where its name says so', () => {
  assert.deepEqual(edges.filter(forbiddenPackage).map(shown), [])
})

test('the clock, chance, arguments and the environment are main.ts', () => {
  const touching = [...texts].filter(([file, text]) => file !== 'src/main.ts' && impure.test(code(text)))
  assert.deepEqual(touching.map(([file]) => file).sort(), Object.keys(impureExceptions).sort())
})

test('every exception is still needed', () => {
  const all = new Set(edges.map(({ from, to }) => `${from} -> ${to}`))
  for (const one of [...Object.keys(exceptions), ...Object.keys(packageExceptions)]) assert.ok(all.has(one), one)
})

test('nothing imports in a circle', () => {
  const next = new Map<string, string[]>()
  for (const { from, to, type } of edges) if (!type && texts.has(to)) next.set(from, [...(next.get(from) ?? []), to])
  const done = new Set<string>()
  const walk = (file: string, path: readonly string[]): void => {
    assert.ok(!path.includes(file), [...path, file].join(' -> '))
    if (done.has(file)) return
    for (const one of next.get(file) ?? []) walk(one, [...path, file])
    done.add(file)
  }
  for (const file of texts.keys()) walk(file, [])
})

test('this test sees what it is to see', () => {
  const text = `
import { a } from './a.ts'
import type { B } from '../core/b.ts'
import {
  c,
} from 'kafkajs'
import 'node:fs'
export { d } from './d.ts'
export type { E } from './e.ts'
const f = await import('./f.ts')
// import { no } from 'comment'
`
  assert.deepEqual(
    edgesOf('src/x/y.ts', text.replace(/^\/\/.*$/m, '')).map(({ to, type }) => [to, type]),
    [
      ['src/x/a.ts', false],
      ['src/core/b.ts', true],
      ['kafkajs', false],
      ['node:fs', false],
      ['src/x/d.ts', false],
      ['src/x/e.ts', true],
      ['src/x/f.ts', false],
    ],
  )
  const known = [
    'src/main.ts -> commander',
    'src/flow/pipeline.ts -> src/core/stage.ts',
    'consumers/cloud-events.ts -> src/define.ts',
  ]
  for (const one of known)
    assert.ok(
      edges.some(({ from, to }) => `${from} -> ${to}` === one),
      one,
    )
  const planted: [from: string, to: string, type?: 'type'][] = [
    ['src/core/marks.ts', 'src/flow/lane.ts'],
    ['src/core/marks.ts', 'src/flow/lane.ts', 'type'],
    ['src/decoders/cloud-event.ts', 'src/flow/decode/port.ts', 'type'],
    ['consumers/cloud-events.ts', 'src/core/record.ts'],
    ['src/flow/persist/postgres.ts', 'src/flow/publish/redis.ts'],
    ['src/flow/persist/postgres.ts', 'src/flow/publish/port.ts'],
    ['src/flow/publish/redis.ts', 'src/flow/pipeline.ts', 'type'],
    ['src/flow/pipeline.ts', 'src/flow/persist/postgres.ts'],
    ['src/flow/lane.ts', 'src/process/assignment.ts', 'type'],
    ['src/process/lifecycle.ts', 'src/flow/persist/memory.ts'],
    ['src/process/lifecycle.ts', 'src/main.ts'],
    ['src/process/lifecycle.ts', 'src/verify/verify.ts'],
    ['src/replay/replay.ts', 'src/flow/persist/sql.ts'],
    ['src/gateway/server.ts', 'src/flow/lane.ts'],
    ['reducers/order.ts', 'src/core/json.ts', 'type'],
    ['src/state/command.ts', 'src/flow/persist/sql.ts'],
    ['src/verify/walk.ts', 'test/flow/house.ts'],
  ]
  for (const [from, to, type] of planted) assert.ok(forbidden({ from, to, type: type === 'type' }), `${from} -> ${to}`)
  const strangers: [from: string, to: string, type?: 'type'][] = [
    ['src/flow/publish/redis.ts', 'pg'],
    ['src/core/marks.ts', 'pg', 'type'],
    ['src/core/marks.ts', 'node:fs'],
    ['src/decoders/cloud-event.ts', 'node:crypto'],
    ['consumers/cloud-events.ts', 'node:buffer'],
    ['src/process/lifecycle.ts', 'lodash'],
    ['src/flow/lane.ts', 'kafkajs'],
  ]
  for (const [from, to, type] of strangers)
    assert.ok(forbiddenPackage({ from, to, type: type === 'type' }), `${from} -> ${to}`)
  for (const line of ['const t = Date.now()', 'f(process.env.X)', 'new Date()', 'x = Math.random'])
    assert.match(code(line), impure)
  for (const line of ['// Date.now() is not called', '/** process.env */', 'new Date(ms)'])
    assert.doesNotMatch(code(line), impure)
})
