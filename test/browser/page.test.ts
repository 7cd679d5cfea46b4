/** The page in a real Chromium: at the width of a phone and of a desk, light and dark, by keyboard; screenshots are left in .local/screenshots. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { eventually } from '../stack/root.ts'
import { chromium, desk, holds, isQuiet, looks, openTab, options, phone } from './chromium.ts'
import type { Look } from './devtools.ts'
import { type FakeFleet, openFakeFleet } from './fake-fleet.ts'

let fleet: FakeFleet
before(async () => {
  if (chromium !== null) fleet = await openFakeFleet()
})
after(() => fleet?.[Symbol.asyncDispose]())

const openPage = (look: Look) => openTab(fleet.url, look)

/** Drawn anew so many times since. */
async function drawn(times: number): Promise<void> {
  const wanted = fleet.asked + times
  await eventually(`asked ${times} times`, () => fleet.asked >= wanted)
}

for (const { name, look } of looks) {
  test(`${name}: readable, whole, and without a complaint`, options, async () => {
    const tab = await openPage(look)
    await drawn(2)
    assert.equal(await tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches"), look.theme === 'dark')
    await holds(tab, fleet.url, `page-${name}`)
    for (const room of ['consume', 'decode', 'publish', 'settle']) {
      await tab.evaluate(`document.getElementById('show-${room}').click()`)
      assert.deepEqual(await tab.evaluate('inspectPage.weakTexts()'), [], room)
    }
    isQuiet(tab, fleet.url)
    await tab.close()
  })
}

test('by keyboard: everything is reached in the order in which it stands, and is seen to be', options, async () => {
  const tab = await openPage({ ...desk, theme: 'light' })
  const order: string[] = []
  for (let i = 0; i < 8; i += 1) {
    await tab.press('Tab')
    const { name, isSeen } = await tab.evaluate<{ name: string; isSeen: boolean }>('inspectPage.focused()')
    assert.ok(isSeen, `the focus on ${name} is not seen`)
    order.push(name)
  }
  assert.deepEqual(order, [
    '#h-partitions',
    'pause',
    'show-persist',
    'heat',
    'h-replicas',
    'http://127.0.0.1:9464/',
    'http://127.0.0.1:9465/',
    'h-rejects',
  ])
  await tab.close()
})

test(
  'in the map: arrows go from one to the next, marks are told, and drawing anew takes nothing away',
  options,
  async () => {
    const tab = await openPage({ ...desk, theme: 'dark' })
    const chosen = () => tab.evaluate<string>("document.querySelector('[aria-selected=true]')?.textContent ?? ''")
    const detail = () => tab.evaluate<string>("document.getElementById('detail').textContent")
    await tab.evaluate("document.getElementById('heat').focus()")
    await tab.press('ArrowRight')
    assert.equal(await chosen(), '0')
    await tab.press('ArrowRight')
    assert.equal(await chosen(), '1')
    await tab.press('ArrowDown')
    const below = Number(await chosen())
    assert.ok(below > 10, `${below} is below 1`)
    await tab.press('ArrowUp')
    await tab.press('ArrowLeft')
    await tab.press('ArrowLeft')
    assert.equal(await chosen(), '0')
    await tab.press('End')
    assert.equal(await chosen(), '99')
    await tab.press('Home')
    const seventeen = await tab.evaluate<{ x: number; y: number }>(`(() => {
    const option = [...document.querySelectorAll('[role=option]')].find((one) => one.textContent === '17')
    option.scrollIntoView({ block: 'center' })
    const { x, y, width, height } = option.getBoundingClientRect()
    return { x: x + width / 2, y: y + height / 2 }
  })()`)
    await tab.click(seventeen.x, seventeen.y)
    assert.equal(await chosen(), '17')
    assert.match(await detail(), /Partition 17 of replica-2.*persist/)
    await tab.evaluate("document.getElementById('show-publish').click()")
    await drawn(2)
    assert.equal(await chosen(), '17')
    assert.equal(await tab.evaluate("document.getElementById('show-publish').checked"), true)
    assert.match(await detail(), /Partition 17 of replica-2/)
    assert.equal(
      await tab.evaluate("document.getElementById('heat').getAttribute('aria-activedescendant')"),
      'p-cloud-events-17',
    )
    // A stopped one says why.
    await tab.evaluate(
      "[...document.querySelectorAll('[role=option]')].find((one) => one.textContent === '41').click()",
    )
    assert.match(await detail(), /RETENTION_OVERTOOK/)
    assert.deepEqual(tab.errors, [])
    await tab.close()
  },
)

test('pausing stops what moves, until it goes on', options, async () => {
  const tab = await openPage({ ...phone, theme: 'light' })
  await drawn(1)
  await tab.evaluate("document.getElementById('pause').focus()")
  await tab.press('Enter')
  assert.equal(await tab.evaluate("document.getElementById('pause').getAttribute('aria-pressed')"), 'true')
  const text = () => tab.evaluate<string>("document.getElementById('live').textContent")
  const before = await text()
  const askedBefore = fleet.asked
  await new Promise((resolve) => setTimeout(resolve, 2500))
  assert.equal(await text(), before)
  assert.ok(fleet.asked <= askedBefore + 1)
  await tab.press('Enter')
  await eventually('it goes on', async () => (await text()) !== before)
  await tab.close()
})

test('whoever hears the page: everything to act on has a name, and the verdict is a status', options, async () => {
  const tab = await openPage({ ...desk, theme: 'light' })
  const { nodes } = (await tab.send('Accessibility.getFullAXTree')) as {
    nodes: { ignored: boolean; role?: { value: string }; name?: { value: string } }[]
  }
  const seen = nodes.filter(({ ignored }) => !ignored)
  const named = ['button', 'radio', 'listbox', 'option', 'link', 'region', 'heading', 'image', 'table']
  for (const { role, name } of seen) {
    if (role !== undefined && named.includes(role.value) && role.value !== 'table')
      assert.notEqual(name?.value ?? '', '', role.value)
  }
  const roles = new Set(seen.map(({ role }) => role?.value))
  for (const role of ['main', 'status', 'listbox', 'option', 'radio', 'button', 'heading', 'table'])
    assert.ok(roles.has(role), role)
  await tab.close()
})

test('when nobody answers any more, it says since when', options, async () => {
  const tab = await openPage({ ...phone, theme: 'dark' })
  await drawn(1)
  await fleet.close()
  await eventually('it is said', () => tab.evaluate("!document.getElementById('silence').hidden"))
  assert.match(
    await tab.evaluate("document.getElementById('silence').textContent"),
    /^No answer since .*: what is shown is old\.$/,
  )
  assert.deepEqual(await tab.evaluate('inspectPage.weakTexts()'), [])
  await tab.close()
})
