/** The terminal's face of a debug session: what a key means, and what is shown. Pure: one state and one key make the next state and something to do. */
import type { Json } from '../core/json.ts'
import type { DebugView } from './debug.ts'
import { showInstant } from './instant.ts'
import { clean, renderChange } from './print.ts'

export type Command = 'step' | 'back' | 'run' | 'restart' | 'quit' | { readonly toggle: string }

export interface Face {
  readonly shows: 'changes' | 'before' | 'after'
  /** What is being typed behind `:`; null: keys are commands. */
  readonly typing: string | null
  /** One line about the last key. */
  readonly note: string
}

export const firstFace: Face = { shows: 'changes', typing: null, note: '' }

const next = { changes: 'before', before: 'after', after: 'changes' } as const

export interface Pressed {
  readonly face: Face
  readonly command: Command | null
}

export function press(face: Face, key: string, view: Pick<DebugView, 'event'>): Pressed {
  const quiet = { ...face, note: '' }
  const only = (command: Command | null): Pressed => ({ face: quiet, command })
  if (key === '\x03') return only('quit')
  if (face.typing !== null) {
    const typing = face.typing
    if (key === '\x1b') return { face: { ...quiet, typing: null }, command: null }
    if (key === '\x7f' || key === '\b') return { face: { ...quiet, typing: typing.slice(0, -1) }, command: null }
    if (key === '\r' || key === '\n') {
      const toggle = typing.trim()
      return { face: { ...quiet, typing: null }, command: toggle === '' ? null : { toggle } }
    }
    return { face: key < ' ' ? quiet : { ...quiet, typing: typing + key }, command: null }
  }
  switch (key) {
    case ' ':
    case 'n':
    case '\r':
    case '\x1b[C':
      return only('step')
    case 'b':
    case '\x1b[D':
      return only('back')
    case 'r':
      return only('run')
    case 'g':
      return only('restart')
    case 'q':
    case '\x04':
      return only('quit')
    case 'v':
    case '\t':
      return { face: { ...quiet, shows: next[face.shows] }, command: null }
    case 't':
      return only(view.event === undefined ? null : { toggle: `type:${view.event.type}` })
    case 's':
      return only(view.event === undefined ? null : { toggle: `subject:${view.event.subject}` })
    case ':':
      return { face: { ...quiet, typing: '' }, command: null }
    default:
      return { face: { ...face, note: 'keys are listed below' }, command: null }
  }
}

const legend = 'space step  b back  r run  v view  t break on type  s on subject  : on a condition  g restart  q quit'

export function renderDebug(
  view: DebugView,
  face: Face,
  title: string,
  { columns, rows }: { columns: number; rows: number },
): string[] {
  const { event, atEnd, breakpoints } = view
  const nothing = atEnd ? 'There is no event.' : 'Before the first event.'
  const head = [title, '', ...(event === undefined ? [nothing] : headOf(view))]
  const set =
    breakpoints.length === 0 ? ['no breakpoints'] : breakpoints.map((one) => `break ${clean(one.text)} (${one.hits})`)
  const last =
    face.typing !== null ? `:${clean(face.typing)}` : [clean(face.note), legend].filter((one) => one !== '').join('  ')
  const foot = ['', ...set, last]
  const room = Math.max(1, rows - head.length - foot.length - 1)
  const body = event === undefined ? [] : ['', ...bodyOf(view, face)]
  const shown = body.length <= room ? body : [...body.slice(0, room - 1), `... ${body.length - room + 1} lines more`]
  return [...head, ...shown, ...foot].map((line) => (line.length > columns ? `${line.slice(0, columns - 1)}>` : line))
}

/** An event and what it changed, where nobody presses keys. */
export const renderStop = (view: DebugView): string => `${[...headOf(view), ...bodyOf(view, firstFace)].join('\n')}\n\n`

function headOf({ event, stored = '', place = '', position, atEnd, hit }: DebugView): string[] {
  if (event === undefined) return []
  const said = hit === null ? (atEnd ? 'the last one' : '') : `stopped by ${clean(hit)}`
  return [
    `event ${position}  ${showInstant(event.time)}  ${clean(event.type)}  ${said}`.trimEnd(),
    `subject ${clean(event.subject)}  source ${clean(event.source)}  id ${clean(event.id)}`,
    `stored ${showInstant(stored)}  record ${clean(place)}`,
    `data ${text(event.dataBase64 ?? event.data)}`,
  ]
}

function bodyOf({ reducer, before, after, changes, failed }: DebugView, { shows }: Face): string[] {
  if (reducer === null) return ['no reducer is about such a subject']
  if (failed !== null) return ['THE REDUCER FAILED', clean(failed), '', 'before:', ...lines(before)]
  if (shows === 'before') return [`${reducer} before:`, ...lines(before)]
  if (shows === 'after') return [`${reducer} after:`, ...lines(after)]
  return [`${reducer}:`, ...(changes.length === 0 ? ['nothing changed'] : changes.map(renderChange))]
}

const lines = (value: Json) => JSON.stringify(value, null, 2).split('\n').map(clean)
const text = (value: Json) => clean(JSON.stringify(value))
