/** While `npm start` runs: its page, the pages of its replicas, and `millrace top`, which finds them by what the fleet leaves beside its servers. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import type { Picture } from '../../src/live/picture.ts'
import { type FleetFile, readFleet } from '../../src/stack/fleet.ts'
import { stackFolder } from '../../src/stack/state.ts'
import { startCommand } from '../../src/start/start.ts'
import { topCommand } from '../../src/top/command.ts'
import { eventually, root } from '../stack/root.ts'
import { makeIo } from './io.ts'

test('the fleet is seen in a browser and in another terminal while it runs', { timeout: 180_000 }, async () => {
  const stackName = `test-live-${randomUUID().slice(0, 8)}`
  const { io, err, stop } = makeIo(stackName)
  const running = startCommand({ rate: '500', partitions: '10', pagePort: '0', json: true }, io)
  const ended = running.then(
    (code) => `ended with ${code}: ${err.slice(-5).join('')}`,
    (error: Error) => `failed: ${error.message}`,
  )
  const folder = stackFolder(root, stackName)
  let how: string | null = null
  void ended.then((text) => {
    how = text
  })
  const alive = async <T>(what: string, find: () => Promise<T | null>): Promise<T> => {
    let found: T | null = null
    await eventually(
      what,
      async () => {
        assert.equal(how, null)
        found = await find().catch(() => null)
        return found !== null
      },
      120_000,
    )
    return found as T
  }
  try {
    const fleet = await alive('a fleet of two', async (): Promise<FleetFile | null> => {
      const file = readFleet(folder)
      return file?.replicas.length === 2 ? file : null
    })
    // Until the second replica has its share, the first may hold all partitions.
    const picture = await alive('a picture in which events flow through both', async (): Promise<Picture | null> => {
      const told = (await (await fetch(`${fleet.page}/picture.json`)).json()) as Picture
      const shared = told.replicas.every(({ state, partitions }) => state === null && partitions > 0)
      return shared && told.storedPerSecond > 100 && told.partitions.length === 10 ? told : null
    })
    assert.equal(picture.consumer, 'cloud-events')
    assert.deepEqual(
      picture.replicas.map(({ name }) => name),
      ['replica-1', 'replica-2'],
    )
    assert.equal(picture.unassigned, 0)
    assert.ok(picture.partitions.every(({ marks, replica }) => marks !== null && replica.startsWith('replica-')))
    assert.doesNotMatch(JSON.stringify(picture.addresses), /millrace:millrace/)
    assert.match(await (await fetch(fleet.page as string)).text(), /role="listbox"/)

    for (const { name, adminUrl } of fleet.replicas) {
      const page = await (await fetch(`${adminUrl}/`)).text()
      assert.match(page, new RegExp(`<h1>cloud-events <small>${name}</small></h1>`))
      const own = (await (await fetch(`${adminUrl}/picture.json`)).json()) as Picture
      assert.equal(own.replicas.length, 1)
      assert.equal(own.unassigned, 0)
      assert.ok(own.lagHistory.length > 0)
    }

    const out: string[] = []
    const code = await topCommand(
      { stack: stackName, once: true, json: true },
      {
        root,
        env: io.env,
        replicaAddresses: [],
        adminPort: 9464,
        lookup: async (host) => [{ address: host, family: 4 }],
        stdout: { ...io.stdout, write: (text) => void out.push(text) },
        now: Date.now,
        signal: new AbortController().signal,
      },
    )
    assert.equal(code, 0)
    const seen = JSON.parse(out[0] as string) as Picture
    assert.equal(seen.partitions.length, 10)
    assert.ok(seen.storedPerSecond > 100, `${seen.storedPerSecond}/s`)
    assert.deepEqual(
      seen.replicas.map(({ state }) => state),
      [null, null],
    )
    assert.ok(seen.replicas.every(({ cpuShare }) => cpuShare !== null && cpuShare > 0))
  } finally {
    stop.abort()
  }
  assert.equal(await running, 0, err.slice(-5).join(''))
  assert.equal(readFleet(folder), null)
})
