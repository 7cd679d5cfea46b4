/** Clocks that are wrong, and are set while the replicas run. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Scenario, World } from '../scenario.ts'

const preload = pathToFileURL(join(import.meta.dirname, '../ground/shifted-clock.mjs')).href
const clocks = new WeakMap<World, string[]>()
const minute = 60_000
const hour = 60 * minute

/** All within the event window below, so that no good event may be refused. */
const shifts = [
  0,
  10_000,
  -10_000,
  5 * minute,
  -5 * minute,
  hour,
  -hour,
  6 * hour,
  -6 * hour,
  20 * hour,
  -20 * hour,
  72 * hour,
] as const

const said = (ms: number) =>
  ms === 0
    ? 'right'
    : `${ms < 0 ? '-' : '+'}${Math.abs(ms) >= hour ? `${Math.abs(ms) / hour} h` : `${Math.abs(ms) / 1000} s`}`

export const clockScenarios: readonly Scenario[] = [
  {
    name: 'clock',
    what: 'every replica has a clock of its own, one of them wrong from its start; they are set by seconds, minutes, hours and days, back and forth, while the replicas run',
    rounds: 8,
    recoveryMsMax: 20_000,
    needs: { brokers: 1 },
    env: { MILLRACE_EVENT_FUTURE_HOURS_MAX: '24' },
    async prepare(world) {
      const files = [0, 45 * minute, 0].map((shiftMs, index) => {
        const file = join(world.ground.kafka.folder, `clock-${world.group}-${index + 1}`)
        writeFileSync(file, String(shiftMs))
        return file
      })
      clocks.set(world, files)
      for (const file of files) await world.start({ CHAOS_CLOCK: file, NODE_OPTIONS: `--import=${preload}` })
    },
    async round(world, round) {
      const files = clocks.get(world) as string[]
      // One of them, then all at once.
      const chosen = round % 2 === 1 ? [world.random.below(files.length)] : files.keys()
      const told: string[] = []
      for (const index of chosen) {
        const shiftMs = shifts[world.random.below(shifts.length)] as number
        writeFileSync(files[index] as string, String(shiftMs))
        told.push(`r${index + 1} ${said(shiftMs)}`)
      }
      // Longer than a session: who no longer tells the group that it lives has been thrown out by then.
      await world.sleep(5000)
      return `clocks set: ${told.join(', ')}`
    },
    async after(world) {
      for (const file of clocks.get(world) as string[]) writeFileSync(file, '0')
    },
  },
]
