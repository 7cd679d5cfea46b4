/** The rooms in a terminal, from left to right as the stream runs: what each passes, how its time goes, and which one is short of it. */
import { roomColours } from './colours.ts'
import type { LoadPicture, Picture } from './picture.ts'
import { bar, brief, type Colour, fit, heat, milliseconds, type Paint, type Style } from './style.ts'
import { narrowest } from './verdict.ts'

/** The stream from left to right: what comes in where we make it, then the five rooms, each with its rate and how busy it is. */
export function roomLines(picture: Picture, width: number, style: Style, paint: Paint): string[] {
  const { load, rooms: all } = picture
  const narrow = narrowest(picture)
  const cell = cellOf(load, width)
  const [line, tip] = style.unicode ? ['─', '▸'] : ['-', '>']
  const name = (text: string, isLast: boolean, colours: readonly Colour[]) => {
    const shown = text.slice(0, cell - 1)
    const rest = cell - shown.length
    const arrow = isLast || rest < 4 ? ' '.repeat(rest) : ` ${paint(line.repeat(rest - 3) + tip, 'dim')} `
    return paint(shown, 'bold', ...colours) + arrow
  }
  const busy = (working: number | null) => {
    if (working === null) return ' '.repeat(cell)
    const percent = fit(`${Math.round(working * 100)} %`, Math.min(5, cell - 1), 'right')
    const barWidth = cell - percent.length - 2
    return `${barWidth > 0 ? `${paint(bar(working, barWidth, style), heat(working))} ` : ''}${paint(percent, 'dim')} `
  }
  const source = sourceCells(load, cell, paint, name)
  return [
    source[0] +
      all
        .map(({ room }, index) =>
          name(room, index === all.length - 1, [
            narrow?.isLimit && room === narrow.room ? 'red' : roomColours[room].terminal,
          ]),
        )
        .join(''),
    source[1] + all.map(({ perSecond }) => fit(`${brief(perSecond)}/s`, cell)).join(''),
    source[2] + all.map(({ working }) => busy(working)).join(''),
    markLine(picture, cell, style, paint),
  ]
}

const cellOf = (load: LoadPicture | null, width: number) => Math.floor(width / (load === null ? 5 : 6))

function sourceCells(
  load: LoadPicture | null,
  cell: number,
  paint: Paint,
  name: (text: string, isLast: boolean, colours: readonly Colour[]) => string,
): readonly [string, string, string] {
  if (load === null) return ['', '', '']
  const late = load.waiting > 0 ? `${brief(load.waiting)} wait` : `late ${milliseconds(load.lateMsP99)}`
  return [
    name('produce', false, []),
    fit(`${brief(load.perSecond)}/s`, cell),
    paint(fit(late, cell), load.waiting > 0 ? 'red' : 'dim'),
  ]
}

/** What the rest of each room's time goes to: nothing to do, or nobody to hand on to. */
export function timesLine({ load, rooms: all }: Picture, width: number, paint: Paint): string[] {
  const cell = cellOf(load, width)
  const text = all.map(({ times }) =>
    fit(times === null ? '' : `in ${percent(times.input)} out ${percent(times.output)}`, cell - 1).padEnd(cell),
  )
  return [paint(' '.repeat(load === null ? 0 : cell) + text.join(''), 'dim')]
}

const percent = (share: number) => String(Math.round(share * 100))

/** Points at the room that is short of time. */
function markLine(picture: Picture, cell: number, style: Style, paint: Paint): string {
  const narrow = narrowest(picture)
  if (narrow === null) return picture.bottleneck === null ? '' : paint('every room has time to spare', 'dim')
  const index = picture.rooms.findIndex(({ room }) => room === narrow.room) + (picture.load === null ? 0 : 1)
  const mark = style.unicode ? '▲' : '^'
  const text = narrow.isLimit ? paint(`${mark} bottleneck`, 'red') : paint(`${mark} busiest`, 'yellow')
  return ' '.repeat(cell * index) + text
}
