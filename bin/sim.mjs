#!/usr/bin/env node
/** `npm run sim`: bootstrap, then test/sim/main.ts on Node 24. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { canRunHere, prepare, root, runOn } from './setup.mjs'

const main = join(root, 'test', 'sim', 'main.ts')
const node = await prepare({ everything: true })
if (canRunHere()) await import(pathToFileURL(main).href)
else process.exitCode = await runOn(node, [main, ...process.argv.slice(2)])
