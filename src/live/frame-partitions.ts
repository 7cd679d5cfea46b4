/** The partitions in a terminal: one character each, the higher the further behind, and the marks of those that a person should look at. */

import { rooms } from '../core/marks.ts'
import { heatOf, worstOf } from './partitions.ts'
import type { PartitionPicture, Picture } from './picture.ts'
import { brief, type Colour, fit, type Paint, type Style } from './style.ts'

const label = 'partitions '
const columns = [10, 8, 7] as const
const markColumns = 11

/**
 * The strip, then those furthest behind under a head; none when even the strip has no room. Beside a load that we make ourselves only those that are
 * really behind: there it is the charts that people look at.
 */
export function partitionLines(picture: Picture, width: number, spare: number, style: Style, paint: Paint): string[] {
  const { partitions, load } = picture
  const perLine = Math.max(1, width - label.length)
  const strip = Math.ceil(partitions.length / perLine)
  if (partitions.length === 0 || strip > Math.min(spare, 4)) return []
  const lines = Array.from({ length: strip }, (_, line) => {
    const some = partitions.slice(line * perLine, (line + 1) * perLine)
    return `${paint(fit(line === 0 ? label : '', label.length), 'dim')}${cells(some, style, paint)}`
  })
  const room = Math.max(0, Math.floor(((spare - strip - 1) * 2) / 3))
  const worst = load === null ? worstOf(partitions).slice(0, room) : late(partitions).slice(0, Math.min(5, room))
  if (worst.length === 0) return lines
  return [...lines, head(width, paint), ...worst.map((partition) => worstLine(partition, width, paint))]
}

const late = (partitions: readonly PartitionPicture[]) =>
  worstOf(partitions).filter(({ behind, stopped }) => stopped !== null || heatOf(behind?.persist ?? 0) > 0)

const heights = { unicode: ['·', '▁', '▃', '▅', '▇', '█'], ascii: ['.', '1', '2', '3', '4', '5'] } as const

/** Neighbours of one colour are painted together: a hundred escapes a line would flicker. */
function cells(some: readonly PartitionPicture[], style: Style, paint: Paint): string {
  let out = ''
  let text = ''
  let colour: Colour = 'dim'
  for (const { behind, stopped } of some) {
    const step = heatOf(behind?.persist ?? 0)
    const own: Colour = stopped !== null ? 'magenta' : step === 0 ? 'dim' : step < 3 ? 'yellow' : 'red'
    if (own !== colour) {
      out += paint(text, colour)
      text = ''
      colour = own
    }
    text += stopped !== null ? '!' : (heights[style.unicode ? 'unicode' : 'ascii'][step] as string)
  }
  return out + paint(text, colour)
}

function head(width: number, paint: Paint): string {
  const names = ['partition', 'lag', 'lag s'].map((name, index) =>
    fit(name, columns[index] as number, index === 0 ? 'left' : 'right'),
  )
  const marks = rooms.map((room) => fit(room, markColumns, 'right'))
  return paint(fit(`${[...names, ...marks].join('')}  replica`, width), 'dim')
}

function worstLine(
  { partition, behind, lagSeconds, marks, replica, stopped }: PartitionPicture,
  width: number,
  paint: Paint,
): string {
  const values = [
    fit(`${partition}`, columns[0]),
    fit(behind === null ? '-' : brief(behind.persist), columns[1], 'right'),
    fit(lagSeconds === null ? '-' : lagSeconds.toFixed(1), columns[2], 'right'),
    ...rooms.map((room) => fit(marks === null ? '-' : String(marks[room]), markColumns, 'right')),
  ]
  const why = stopped === null ? '' : `${stopped.code}: ${stopped.reason}`
  const text = stopped === null ? `${values.join('')}  ${replica}` : `${values.slice(0, 3).join('')}  ${why}`
  return paint(fit(text, width), ...(stopped === null ? [] : (['magenta'] as const)))
}
