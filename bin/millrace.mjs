#!/usr/bin/env node
/** The command `millrace`, from any Node >= 20 and from a bare clone: bootstrap, then src/main.ts on Node 24. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { loadFlags, nodeFlags } from '../src/process/node-flags.mjs'
import { canRunHere, prepare, root, runOn } from './setup.mjs'

const main = join(root, 'src', 'main.ts')
// What needs the local stack needs development dependencies; a deployment's commands must not install any.
const local = ['start', 'stack', 'load', 'bench']
// Both send in this very process.
const flags = ['simulate', 'bench'].includes(process.argv[2] ?? '') ? loadFlags : nodeFlags
const node = await prepare({ everything: local.includes(process.argv[2] ?? '') })
if (canRunHere()) await import(pathToFileURL(main).href)
else process.exitCode = await runOn(node, [...flags, main, ...process.argv.slice(2)])
