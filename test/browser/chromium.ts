/** What the tests of a page share: a Chromium, where there is one, a phone and a desk, and what any page has to hold on them, light and dark. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { progressLines } from '../../src/stack/progress.ts'
import { root } from '../stack/root.ts'
import { type Browser, type Look, openBrowser, type Tab } from './devtools.ts'
import { installChromium } from './install-chromium.ts'

const inPage = readFileSync(new URL('./in-page.js', import.meta.url), 'utf8')
const screenshots = join(root, '.local', 'screenshots')

export const phone = { width: 360, height: 740, mobile: true } as const
export const desk = { width: 1280, height: 900, mobile: false } as const
export const looks = Object.entries({ phone, desk }).flatMap(([name, size]) =>
  (['light', 'dark'] as const).map((theme) => ({ name: `${name}-${theme}`, look: { ...size, theme } })),
)

export const chromium = await installChromium(
  root,
  progressLines((text) => process.stderr.write(text), Date.now),
)
/** Of each test. */
export const options = {
  timeout: 60_000,
  skip: chromium === null && 'there is no Chromium on PATH, and this is no Debian to take one from',
}

let browser: Browser
before(async () => {
  if (chromium !== null) browser = await openBrowser(chromium)
})
after(() => browser?.[Symbol.asyncDispose]())

export async function openTab(url: string, look: Look): Promise<Tab> {
  const tab = await browser.open()
  await tab.look(look)
  await tab.goto(url)
  await tab.evaluate(`${inPage}; 0`)
  return tab
}

/** Without a complaint, and from nowhere else. */
export function isQuiet(tab: Tab, url: string): void {
  assert.deepEqual(tab.errors, [])
  for (const asked of tab.requests) assert.ok(asked.startsWith(url) || asked.startsWith('data:'), asked)
}

/** Readable, whole, to be hit with a thumb, and quiet; its picture stays in .local/screenshots. */
export async function holds(tab: Tab, url: string, picture: string): Promise<void> {
  mkdirSync(screenshots, { recursive: true })
  writeFileSync(join(screenshots, `${picture}.png`), await tab.screenshot())
  assert.deepEqual(await tab.evaluate('inspectPage.weakTexts()'), [])
  assert.deepEqual(await tab.evaluate('inspectPage.overflowing()'), [])
  assert.deepEqual(await tab.evaluate('inspectPage.smallTargets()'), [])
  isQuiet(tab, url)
}
