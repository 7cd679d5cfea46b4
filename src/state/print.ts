/** `millrace state` for people. Texts of events come from outside: nothing of them reaches the terminal as a control character. */
import { count } from '../core/count.ts'
import type { Json } from '../core/json.ts'
import type { Change } from './diff.ts'
import { diff } from './diff.ts'
import type { Place } from './history.ts'
import { type Instant, showInstant } from './instant.ts'
import type { Judged, Made } from './snapshots.ts'
import type { StateAt } from './state-at.ts'
import type { Between, Timeline } from './timeline.ts'

/** JSON.stringify escapes what is below U+0020; C1 controls and DEL are left. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
export const clean = (text: string): string => text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, '?')
const jsonText = (value: Json | undefined, indent = 0) =>
  JSON.stringify(value ?? null, null, indent).replaceAll(/[\u007f-\u009f]/g, '?')

export const placeText = ({ time, key }: Place): string => (key === undefined ? time : `${time},${key}`)

export function renderState(subject: string, reducer: string, shown: StateAt): string {
  const { at, state, events, read, last, snapshot, begins, days } = shown
  const lines = [`${clean(subject)}, ${reducer}, at ${showInstant(at)}`, jsonText(state, 2), '']
  if (begins !== null) lines.push(`It had no event yet: the first one is at ${showInstant(begins)}.`)
  else if (last !== null)
    lines.push(`${eventsText(events)}, the last ${clean(last.event.type)} at ${showInstant(last.event.time)}`)
  else lines.push(eventsText(events))
  if (snapshot !== null)
    lines.push(`from the snapshot of ${showInstant(snapshot.at)} and ${eventsText(read)} behind it`)
  for (const { snapshot: one, standing } of shown.passedOver)
    lines.push(`the snapshot of ${showInstant(one.at)} was not used: ${standing.kind}`)
  lines.push(`events are kept since ${days[0]?.day}`)
  return `${lines.join('\n')}\n`
}

export function renderTimeline(subject: string, { items, next }: Timeline): string {
  const lines = items.flatMap(({ event, stored, place, before, after }) => {
    const late = Date.parse(stored) - Date.parse(event.time)
    const head = `${showInstant(event.time).padEnd(27)}  ${clean(event.type)}  ${clean(event.source)} ${clean(event.id)}  ${clean(place)}${late > 60_000 ? `  stored ${showInstant(stored)}` : ''}`
    return after === undefined
      ? [head]
      : [head, ...diff(before ?? null, after).map((one) => `    ${renderChange(one)}`)]
  })
  const more = next === null ? [] : ['', `There is more: --after ${placeText(next)}`]
  return `${[`${clean(subject)}: ${eventsText(items.length)}`, '', ...lines, ...more].join('\n')}\n`
}

const short = (value: Json | undefined) => {
  const text = jsonText(value)
  return text.length > 120 ? `${text.slice(0, 117)}...` : text
}

export function renderChange({ path, kind, before, after }: Change): string {
  const name = clean(path) || '(all)'
  if (kind === 'added') return `+ ${name}: ${short(after)}`
  if (kind === 'removed') return `- ${name}: ${short(before)}`
  return `~ ${name}: ${short(before)} -> ${short(after)}`
}

export function renderBetween(subject: string, from: Instant, to: Instant, { changes, events }: Between): string {
  const head = `${clean(subject)}: ${showInstant(from)} to ${showInstant(to)}, ${eventsText(events)}`
  return `${[head, '', ...(changes.length === 0 ? ['nothing changed'] : changes.map(renderChange))].join('\n')}\n`
}

export function renderMade(subject: string, { at, events, isNew }: Made): string {
  return `${clean(subject)}: ${isNew ? 'kept' : 'there already'} at ${showInstant(at)}, ${eventsText(events)}\n`
}

export function renderJudged(judged: readonly Judged[]): string {
  if (judged.length === 0) return 'There are no snapshots.\n'
  const cells = judged.map(({ snapshot: one, verdict, events }) => [
    clean(one.subject),
    one.reducer,
    showInstant(one.at),
    count(one.events),
    showInstant(one.madeAt),
    one.madeBy,
    events > 0 ? `${verdict}: ${eventsText(events)}` : verdict,
  ])
  const head = ['subject', 'reducer', 'at', 'events', 'made', 'by', 'standing']
  const widths = head.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at]!.length)))
  const line = (row: readonly string[]) =>
    row
      .map((cell, at) => (at === 3 ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!)))
      .join('  ')
      .trimEnd()
  return `${[head, ...cells].map(line).join('\n')}\n`
}

const eventsText = (events: number) => (events === 1 ? '1 event' : `${count(events)} events`)
