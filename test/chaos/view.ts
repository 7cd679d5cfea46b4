/** The live view: a screen redrawn in place on a terminal, plain lines elsewhere. It shows; it decides nothing. */
import { count } from '../../src/core/count.ts'
import { openScreen, type Terminal } from '../../src/live/screen.ts'
import { brief, bytes, clip, clock, fit, painter, type Style, sparkline } from '../../src/live/style.ts'
import type { Live } from './run.ts'

export interface View {
  told(live: Live, text: string): void
  look(live: Live): void
  /** A line that belongs to no scenario. */
  say(text: string): void
  close(): void
}

export interface Output extends Terminal {
  readonly isTerminal: boolean
}

const lineMs = 5000

export function openView(output: Output, style: Style, now: () => number): View {
  return output.isTerminal ? screenView(output, style, now) : lineView(output, now)
}

function lineView(output: Output, now: () => number): View {
  let lastMs = 0
  const say = (text: string) => output.write(`${text}\n`)
  return {
    say,
    told: (live, text) => say(`${clock(now() - live.startedMs)}  ${live.scenario.name}  ${text}`),
    look(live) {
      if (now() - lastMs < lineMs) return
      lastMs = now()
      const { sampler, round, rounds } = live
      if (sampler === null) return
      const figures = `lag ${sampler.lagSeconds.toFixed(1)} s  in Kafka ${count(sampler.produced)}  settled ${count(sampler.settled)}`
      say(
        `${clock(now() - live.startedMs)}  ${live.scenario.name}  round ${round} of ${rounds}  ${figures}  ${live.doing}`,
      )
    },
    close() {},
  }
}

function screenView(output: Output, style: Style, now: () => number): View {
  const screen = openScreen(output)
  const said: string[] = []
  return {
    say(text) {
      said.push(...text.trimEnd().split('\n'))
      screen.draw(said.slice(-output.rows).map((line) => clip(line, output.columns)))
    },
    told: (live) => screen.draw(renderFrame(live, said, output, style, now())),
    look: (live) => screen.draw(renderFrame(live, said, output, style, now())),
    close: () => screen.close(),
  }
}

export function renderFrame(
  live: Live,
  said: readonly string[],
  { columns, rows }: { readonly columns: number; readonly rows: number },
  style: Style,
  nowMs: number,
): string[] {
  const paint = painter(style)
  const { scenario, sampler, world, round, rounds } = live
  const lines = [
    `${paint(scenario.name, 'bold')}  round ${round} of ${rounds}   ${clock(nowMs - live.startedMs)}   seed ${world?.seed ?? '-'}`,
    paint(scenario.what, 'dim'),
    `${paint('now', 'dim')} ${paint(live.doing, 'yellow')}`,
    '',
  ]
  if (sampler !== null && world !== null) {
    const statuses = sampler.replicas.flatMap(({ status }) => (status === null ? [] : [status]))
    const lag = `${sampler.lagSeconds.toFixed(1)} s`
    const colour =
      sampler.lagSeconds < 1 ? 'green' : sampler.lagSeconds < scenario.recoveryMsMax / 1000 ? 'yellow' : 'red'
    const wide = Math.max(10, Math.min(columns - 40, 120))
    lines.push(
      `${paint('lag', 'dim')} ${paint(fit(lag, 8), colour)} ${paint(sparkline(sampler.lagHistory, wide, style), 'cyan')}`,
      [
        `${paint('acknowledged', 'dim')} ${count(world.account.acknowledged)}`,
        `${paint('in Kafka', 'dim')} ${count(sampler.produced)}`,
        `${paint('settled', 'dim')} ${count(sampler.settled)}`,
        `${paint('stored', 'dim')} ${brief(statuses.reduce((sum, { totals }) => sum + totals.rows, 0))}`,
        `${paint('published', 'dim')} ${brief(statuses.reduce((sum, { totals }) => sum + totals.entries, 0))}`,
      ].join('   '),
      '',
      paint(
        `${fit('replica', 10)}${fit('parts', 6, 'right')}${fit('lag s', 8, 'right')}${fit('memory', 11, 'right')}  state`,
        'dim',
      ),
    )
    for (const { name, status, residentBytes } of sampler.replicas) {
      const state =
        status === null
          ? 'does not answer'
          : !status.live
            ? (status.reasons[0] ?? 'not healthy')
            : status.ready
              ? status.phase
              : (status.reasons[0] ?? status.phase)
      lines.push(
        fit(name, 10) +
          fit(status === null ? '-' : String(status.partitions.length), 6, 'right') +
          fit(status?.lagSeconds?.toFixed(1) ?? '-', 8, 'right') +
          fit(residentBytes === null ? '-' : bytes(residentBytes), 11, 'right') +
          `  ${paint(state, status?.ready ? 'dim' : 'yellow')}`,
      )
    }
    lines.push('')
  }
  const room = Math.max(0, rows - lines.length - 1)
  const told = live.told.map(({ atMs, text }) => `${paint(clock(atMs), 'dim')} ${text}`)
  const earlier = told.length < room ? said.slice(-(room - told.length)) : []
  return [...lines, ...earlier, ...told.slice(-room)].slice(0, rows).map((line) => clip(line, columns))
}
