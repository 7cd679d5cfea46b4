/** Run by the tests as a process of its own: owns watchers, says what it started, and waits to be killed. */
import { mkdirSync } from 'node:fs'
import { startObserving } from '../../src/stack/observe.ts'
import { paces } from '../../src/stack/observe-config.ts'
import { stackFolder } from '../../src/stack/state.ts'

const [root, name] = process.argv.slice(2)
const folder = stackFolder(root!, name!)
mkdirSync(folder, { recursive: true })
const observing = await startObserving({
  root: root!,
  folder,
  consumer: 'cloud-events',
  webhookUrl: 'http://127.0.0.1:1',
  pace: paces.quick,
})
process.stdout.write(`${JSON.stringify(observing.pids)}\n`)
setInterval(() => {}, 60_000)
