/** Renews the pictures in docs/images: `npm run screenshots`. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { progressLines } from '../../src/stack/progress.ts'
import { root } from '../stack/root.ts'
import { openBrowser } from './devtools.ts'
import { openFakeFleet } from './fake-fleet.ts'
import { installChromium } from './install-chromium.ts'

const folder = join(root, 'docs', 'images')
const looks = {
  'page-light': { width: 1280, height: 900, mobile: false, theme: 'light' },
  'page-phone-dark': { width: 360, height: 740, mobile: true, theme: 'dark' },
} as const

const onProgress = progressLines((text) => process.stderr.write(text), Date.now)
const chromium = await installChromium(root, onProgress)
if (chromium === null) throw new Error('There is no Chromium: put one on PATH.')
await using browser = await openBrowser(chromium)
await using fleet = await openFakeFleet()
mkdirSync(folder, { recursive: true })
for (const [name, look] of Object.entries(looks)) {
  const tab = await browser.open()
  await tab.look(look)
  await tab.goto(fleet.url)
  await sleep(2500)
  await tab.evaluate("document.getElementById('p-cloud-events-17').click()")
  writeFileSync(join(folder, `${name}.png`), await tab.screenshot())
  process.stdout.write(`${join('docs', 'images', `${name}.png`)}\n`)
  await tab.close()
}
