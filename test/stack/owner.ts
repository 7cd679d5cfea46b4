/** Run by the tests as a process of its own: owns a stack, says what it started, and waits to be killed. */
import { startStack } from '../../src/stack/stack.ts'
import type { ServerName } from '../../src/stack/state.ts'

const [root, name, servers] = process.argv.slice(2)
const stack = await startStack({
  root: root!,
  name: name!,
  servers: servers!.split(',') as ServerName[],
  temporary: true,
  quick: true,
})
process.stdout.write(`${JSON.stringify({ pids: stack.pids, folder: stack.folder })}\n`)
setInterval(() => {}, 60_000)
