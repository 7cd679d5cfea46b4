import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { removeFleet, writeFleet } from '../../src/stack/fleet.ts'
import { stackFolder } from '../../src/stack/state.ts'
import { type FinderOptions, openFinder } from '../../src/top/find.ts'

let root: string
before(() => {
  root = mkdtempSync(join(tmpdir(), 'millrace-top-'))
})
after(() => rmSync(root, { recursive: true }))

let nowMs = 0
const options = (changes: Partial<FinderOptions>): FinderOptions => ({
  at: [],
  root,
  stack: null,
  usualPort: 9464,
  lookup: async (host) => [{ address: host, family: 4 }],
  now: () => nowMs,
  ...changes,
})

test('a name that stands for several hosts is all of them, asked again after a while', async () => {
  let pods = ['10.0.0.2', '10.0.0.1']
  let asked = 0
  const finder = openFinder(
    options({
      at: ['millrace:9464'],
      lookup: async () => {
        asked += 1
        if (pods.length === 0) throw new Error('ENOTFOUND')
        return [...pods.map((address) => ({ address, family: 4 })), { address: 'fd00::1', family: 6 }]
      },
    }),
  )
  const names = async () => (await finder.find()).map(({ adminUrl }) => adminUrl)
  assert.deepEqual(await names(), ['http://10.0.0.1:9464', 'http://10.0.0.2:9464'])
  pods = ['10.0.0.3']
  assert.equal((await names()).length, 2)
  assert.equal(asked, 1)
  nowMs += 6000
  assert.deepEqual(await names(), ['http://10.0.0.3:9464'])
  // A name server that is away takes nobody off the list.
  pods = []
  nowMs += 6000
  assert.deepEqual(await names(), ['http://10.0.0.3:9464'])
})

test('a name nobody knows is kept as it was written, and an address of the sixth kind gets its brackets', async () => {
  const unknown = openFinder(options({ at: ['nowhere:1'], lookup: async () => assert.fail('ENOTFOUND') }))
  assert.deepEqual(await unknown.find(), [{ name: 'nowhere:1', adminUrl: 'http://nowhere:1' }])
  const six = openFinder(options({ at: ['[::1]:80'], lookup: async () => [{ address: '::1', family: 6 }] }))
  assert.deepEqual(await six.find(), [{ name: '[::1]:80', adminUrl: 'http://[::1]:80' }])
})

test('two names of one address are one replica', async () => {
  const finder = openFinder(
    options({ at: ['localhost:1', '127.0.0.1:1'], lookup: async () => [{ address: '127.0.0.1', family: 4 }] }),
  )
  assert.equal((await finder.find()).length, 1)
})

test('without addresses: the fleet of npm start while its owner lives, `default` before others, else this machine', async () => {
  assert.equal(openFinder(options({})).where, '127.0.0.1:9464')
  const fleet = { consumer: 'c', page: null, replicas: [{ name: 'replica-1', adminUrl: 'http://127.0.0.1:1' }] }
  for (const name of ['alpha', 'default']) {
    mkdirSync(stackFolder(root, name), { recursive: true })
    writeFleet(stackFolder(root, name), fleet)
  }
  const finder = openFinder(options({}))
  assert.equal(finder.where, "the local fleet 'default'")
  assert.deepEqual(await finder.find(), fleet.replicas)
  assert.equal(openFinder(options({ stack: 'alpha' })).where, "the local fleet 'alpha'")
  removeFleet(stackFolder(root, 'default'))
  assert.deepEqual(await finder.find(), [])
  assert.equal(openFinder(options({})).where, "the local fleet 'alpha'")
  // What a dead process has left is not believed.
  const dead = { version: 1, owner: { pid: process.pid, start: 'another' }, ...fleet }
  writeFileSync(join(stackFolder(root, 'alpha'), 'fleet.json'), JSON.stringify(dead))
  assert.equal(openFinder(options({})).where, '127.0.0.1:9464')
})
