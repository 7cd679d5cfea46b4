/** Renews the pictures in docs/images from a fleet that runs: `npm start` in one terminal, `npm run screenshots -- http://127.0.0.1:4680` in another. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { progressLines } from '../../src/stack/progress.ts'
import { root } from '../stack/root.ts'
import { openBrowser } from './devtools.ts'
import { installChromium } from './install-chromium.ts'

const folder = join(root, 'docs', 'images')
/** Enough to see what there is. */
const heightMax = 1700
const looks = {
  'page-light': { width: 1280, height: 900, mobile: false, theme: 'light' },
  'page-phone-dark': { width: 360, height: 740, mobile: true, theme: 'dark' },
} as const

const url = process.argv[2]
if (url === undefined || !URL.canParse(url)) {
  process.stderr.write(
    'Name the page of a fleet that runs, as npm start prints it: npm run screenshots -- http://127.0.0.1:4680\n',
  )
  process.exit(2)
}
const onProgress = progressLines((text) => process.stderr.write(text), Date.now)
const chromium = await installChromium(root, onProgress)
if (chromium === null) throw new Error('There is no Chromium: put one on PATH.')
await using browser = await openBrowser(chromium)
mkdirSync(folder, { recursive: true })
for (const [name, look] of Object.entries(looks)) {
  const tab = await browser.open()
  await tab.look(look)
  await tab.goto(url)
  await sleep(2500)
  await tab.evaluate("document.getElementById('p-cloud-events-17').click()")
  writeFileSync(join(folder, `${name}.png`), await tab.screenshot(heightMax))
  process.stdout.write(`${join('docs', 'images', `${name}.png`)}\n`)
  await tab.close()
}
