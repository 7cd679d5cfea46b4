/** The process of `redriveUntil` in run.ts: argv is step, nth, KILL or STOP, partition. */
import { openKafka } from '../../src/process/connect-kafka.ts'
import { connectPostgres } from '../../src/process/connect-postgres.ts'
import { loadSettings } from '../../src/process/load-settings.ts'
import { redriveCommand } from '../../src/rejects/redrive-command.ts'

const [, , step, nth, signal, partition] = process.argv
const { settings } = loadSettings({ env: process.env, directory: '/' })
const session = await connectPostgres(settings, 'test redrive')
let done = 0
const flags = { consumer: 'cloud-events', state: 'open', rate: '50', partition: partition as string, yes: true }
const context = {
  settings,
  topic: 'cloud-events',
  actor: 'test@test',
  now: Date.now,
  signal: new AbortController().signal,
  onStep(reached: string) {
    // Batches are counted by their ends: one that has to be sent again comes to its steps again.
    if (reached === step && done === Number(nth) - 1) process.kill(process.pid, `SIG${signal}`)
    if (reached === 'done') done++
  },
}
const write = (text: string) => void process.stdout.write(text)
process.exitCode = await redriveCommand(session, openKafka(settings), flags, context, {
  write,
  writeBytes() {},
  writeError: write,
  columns: 100,
  terminal: false,
})
await session.end()
