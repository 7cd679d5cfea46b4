/** Everything in this folder that is written by a program: `npm run dashboards` writes it, a test holds the files equal to it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { alertsYaml, recordingYaml } from './alerts/rules.ts'
import { type Board, boardJson } from './grafana/board.ts'
import { bssOverview } from './grafana/boards/bss-overview.ts'
import { fleet } from './grafana/boards/fleet.ts'
import { flow } from './grafana/boards/flow.ts'
import { kafka } from './grafana/boards/kafka.ts'
import { postgres } from './grafana/boards/postgres.ts'
import { redis } from './grafana/boards/redis.ts'

export const boards: Readonly<Record<string, Board>> = {
  flow,
  'bss-overview': bssOverview,
  postgres,
  kafka,
  redis,
  fleet,
}

/** Path from this folder, and text. */
export function generated(): Record<string, string> {
  return {
    'prometheus/recording.yml': recordingYaml(),
    'prometheus/alerts.yml': alertsYaml(),
    ...Object.fromEntries(
      Object.entries(boards).map(([name, board]) => [`grafana/json/${name}.json`, boardJson(board)]),
    ),
  }
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(generated())) {
    const file = join(import.meta.dirname, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
}
