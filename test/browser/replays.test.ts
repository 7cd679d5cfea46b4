/** The page of replays in a real Chromium, over a server that has everything in memory: begun, stepped, let go, given up; and what a wrong token is told. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Kept, keep, openWorld, token, type World } from '../gateway/world.ts'
import { eventually } from '../stack/root.ts'
import { chromium, desk, holds, looks, openTab, options, phone } from './chromium.ts'
import type { Look, Tab } from './devtools.ts'

let kept: Kept
let world: World
let url: string
before(async () => {
  if (chromium === null) return
  kept = keep()
  world = openWorld(kept, { replaysMax: 20 })
  url = await world.app.listen({ host: '127.0.0.1', port: 0 })
})
after(() => world?.stop())

async function openPage(look: Look, bears = token): Promise<Tab> {
  const tab = await openTab(url, look)
  await tab.evaluate(
    `document.getElementById('token').value = ${JSON.stringify(bears)}; document.querySelector('#enter button').click()`,
  )
  return tab
}

const text = (tab: Tab, selector: string) =>
  tab.evaluate<string>(`document.querySelector(${JSON.stringify(selector)})?.textContent ?? ''`)
const press = (tab: Tab, id: string, action: string) =>
  tab.evaluate(`document.querySelector('[data-id="${id}"] [data-action=${action}]').click()`)
const state = (tab: Tab, id: string) => text(tab, `[data-id="${id}"] .state`)

for (const { name, look } of looks) {
  test(`${name}: readable, whole, and without a complaint`, options, async () => {
    await world.post('/controlled-replay', { id: name, target: { kind: 'redis', stream: `replay:${name}` } })
    const tab = await openPage(look)
    await eventually('the replay is shown', async () => (await state(tab, name)) === 'paused')
    await holds(tab, url, `replays-${name}`)
    await tab.close()
  })
}

test('a replay is begun standing still, stepped, let go, and comes to its end', options, async () => {
  const tab = await openPage({ ...desk, theme: 'light' })
  await eventually('the form is there', () => tab.evaluate<boolean>("!document.getElementById('inside').hidden"))
  await tab.evaluate(`(() => {
    const { elements } = document.getElementById('begin')
    elements.name.value = 'replay:from-the-page'
    elements.types.value = 'com.bss.order.*, com.bss.payment.*'
    elements.speed.value = 'max'
    elements.rate.value = 'max'
    document.querySelector('[name=how][value=estimate]').click()
  })()`)
  await eventually('the estimate is told', async () => (await text(tab, '#note')).startsWith('20 events'))
  await tab.evaluate("document.querySelector('[name=how][value=controlled-replay]').click()")
  await eventually('it has begun', async () => (await text(tab, '#note')).includes(' has begun.'))
  const [id = ''] = (await text(tab, '#note')).split(' ')
  assert.deepEqual(kept.jobs.get(id)?.description.select.types, ['com.bss.order.*', 'com.bss.payment.*'])
  await eventually('it stands still', async () => (await state(tab, id)) === 'paused')
  await press(tab, id, 'step')
  await eventually('an event went', async () => /^1 events/.test(await text(tab, `[data-id="${id}"] .figures`)))
  await press(tab, id, 'resume')
  await eventually('it is done', async () => (await state(tab, id)) === 'done')
  assert.equal(await tab.evaluate(`document.querySelector('[data-id="${id}"] .controls').hidden`), true)
  assert.deepEqual(tab.errors, [])
  await tab.close()
})

test('what is refused is told in the words of the server', options, async () => {
  const tab = await openPage({ ...desk, theme: 'dark' })
  await eventually('the form is there', () => tab.evaluate<boolean>("!document.getElementById('inside').hidden"))
  await tab.evaluate(`(() => {
    document.getElementById('begin').elements.name.value = 'events:cloud:{1}'
    document.querySelector('[name=how][value=replay]').click()
  })()`)
  await eventually('it is told', async () => /might be a live one/.test(await text(tab, '#problem')))
  await tab.close()
})

test('a wrong token is told, and asked for again', options, async () => {
  const tab = await openPage({ ...phone, theme: 'light' }, 'not the token of this server')
  await eventually('it is told', async () =>
    /not the one that the server has|bears no token/.test(await text(tab, '#problem')),
  )
  assert.equal(await tab.evaluate("document.getElementById('enter').hidden"), false)
  assert.equal(await tab.evaluate('sessionStorage.length'), 0)
  await tab.close()
})
