import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { serveFleetPage, withoutPasswords } from '../../src/start/fleet-page.ts'
import { picture } from '../live/picture.ts'

const first = await serveFleetPage(0, () => picture)
after(() => first.close())

test('the fleet page answers, with rules for the browser, and hands out no password', async () => {
  const page = await fetch(first.url)
  assert.equal(page.status, 200)
  assert.match(page.headers.get('content-security-policy') ?? '', /default-src 'none'/)
  assert.equal(page.headers.get('x-content-type-options'), 'nosniff')
  assert.equal(page.headers.get('cache-control'), 'no-store')
  const text = await page.text()
  assert.match(text, /<h1>cloud-events <small>the fleet<\/small><\/h1>/)
  for (const path of ['/', '/live', '/picture.json']) {
    const body = await (await fetch(first.url + path)).text()
    assert.doesNotMatch(body, /millrace:millrace/, path)
    assert.match(body, /127\.0\.0\.1:21136/)
  }
  assert.equal((await fetch(`${first.url}/other`)).status, 404)
})

test('where two run, the second takes another port, unless it was told which', async () => {
  await using stack = new AsyncDisposableStack()
  const two = [await serveFleetPage(null, () => picture), await serveFleetPage(null, () => picture)]
  for (const one of two) stack.defer(() => one.close())
  assert.notEqual(two[0]?.port, two[1]?.port)
  await assert.rejects(
    serveFleetPage(first.port, () => picture),
    { code: 'PORT_BUSY' },
  )
})

test('addresses of several servers keep all but their passwords', () => {
  const addresses = [
    ['kafka', 'a:9092,b:9092'],
    ['redis', 'redis://u:secret@a:6379,redis://b:6379'],
  ] as const
  assert.deepEqual(withoutPasswords({ ...picture, addresses }).addresses, [
    ['kafka', 'a:9092,b:9092'],
    ['redis', 'redis://u:***@a:6379,redis://b:6379'],
  ])
})
