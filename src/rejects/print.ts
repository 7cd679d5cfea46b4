/** Rejects for people. What a stranger's record says is never written to a terminal as it is: control characters are escaped. */
import { isUtf8 } from 'node:buffer'
import { count } from '../core/count.ts'
import type { Action, FullReject, Group, RejectRow } from './read.ts'
import type { Plan } from './redrive.ts'
import type { Settled } from './redrive-doubt.ts'

const shownBytesMax = 2000
const hexBytesMax = 256

/** Safe on a terminal; line ends and tabs stay where `lines` are wanted. */
export function printable(text: string, lines = false): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => {
    if (lines && (character === '\n' || character === '\t')) return character
    const code = character.charCodeAt(0)
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/** Text where it is text, else hexadecimal with the characters beside; cut, with a note, where it is long. */
export function readable(bytes: Buffer | null): string {
  if (bytes === null) return '(none)'
  if (bytes.length === 0) return '(empty)'
  if (!isUtf8(bytes)) return dump(bytes)
  let end = Math.min(bytes.length, shownBytesMax)
  // Not in the middle of a character.
  while (end < bytes.length && ((bytes[end] as number) & 0xc0) === 0x80) end--
  return printable(bytes.toString('utf8', 0, end), true) + cutNote(bytes.length, end)
}

function dump(bytes: Buffer): string {
  const end = Math.min(bytes.length, hexBytesMax)
  const lines: string[] = []
  for (let at = 0; at < end; at += 16) {
    const part = bytes.subarray(at, Math.min(at + 16, end))
    const hex = [...part].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = [...part].map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('')
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex.padEnd(47)}  ${text}`)
  }
  return lines.join('\n') + cutNote(bytes.length, end)
}

const cutNote = (bytes: number, end: number) =>
  bytes > end ? `\n... ${count(bytes - end)} more of ${count(bytes)} bytes; --raw writes them all` : ''

const time = (at: Date) => `${at.toISOString().slice(0, 19).replace('T', ' ')}Z`
const fit = (text: string, width: number) => (text.length > width ? `${text.slice(0, Math.max(0, width - 1))}…` : text)

function table(head: readonly string[], rows: readonly (readonly string[])[], columns: number): string {
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => (row[at] as string).length)))
  return [head, ...rows]
    .map((row) =>
      fit(
        row
          .map((cell, at) => cell.padEnd(widths[at] as number))
          .join('  ')
          .trimEnd(),
        columns,
      ),
    )
    .map((line) => `${line}\n`)
    .join('')
}

export function renderList(rows: readonly RejectRow[], total: number, columns: number): string {
  if (total === 0) return 'No rejects.\n'
  const body = rows.map((row) => [
    row.id,
    time(row.rejectedAt),
    printable(`${row.topic}/${row.partition}@${row.offset}`),
    row.code,
    row.state,
    String(row.attempts),
    fit(printable(row.type ?? '-'), 40),
    fit(printable(row.tenant ?? '-'), 20),
    printable(row.reason),
  ])
  const head = ['id', 'rejected', 'record', 'code', 'state', 'attempts', 'type', 'tenant', 'reason']
  const rest = total > rows.length ? `${count(rows.length)} of ${count(total)} shown, newest first.\n` : ''
  return table(head, body, columns) + rest
}

export function renderGroups(by: string, groups: readonly Group[], total: number, columns: number): string {
  if (groups.length === 0) return 'No rejects.\n'
  const body = groups.map(({ name, count: n, first, last, example }) => [
    count(n),
    `${((n * 100) / total).toFixed(1)} %`,
    fit(printable(name ?? '(unknown)'), 60),
    time(first),
    time(last),
    example,
  ])
  return `${table(['count', 'share', by, 'first', 'last', 'newest id'], body, columns)}${count(total)} in all.\n`
}

export function renderReject(reject: FullReject, action: Action | null): string {
  const { key, value, headers } = reject
  const lines: (readonly [string, string])[] = [
    ['id', reject.id],
    ['code', reject.code],
    ['reason', printable(reject.reason)],
    ['record', printable(`${reject.topic}, partition ${reject.partition}, offset ${reject.offset}`)],
    ['produced', reject.time.toISOString()],
    ['rejected', `${reject.rejectedAt.toISOString()} by ${printable(reject.decoder)}, for ${reject.consumer}`],
    ['type', printable(reject.type ?? '(unknown)')],
    ['tenant', printable(reject.tenant ?? '(unknown)')],
    ['state', reject.stateAt === null ? reject.state : `${reject.state} since ${reject.stateAt.toISOString()}`],
  ]
  if (action !== null) {
    const { reason } = action.detail
    const why = typeof reason === 'string' ? `: ${reason}` : ''
    lines.push(['action', printable(`${action.action} ${reject.audit} by ${action.actor}${why}`)])
  }
  lines.push(['attempts', String(reject.attempts)])
  if (reject.redriveOf !== null) lines.push(['redrive of', reject.redriveOf])
  lines.push(['key', key === null ? '(none)' : indent(readable(key))])
  const own = headers.map(([name, base64]) => {
    const shown = readable(base64 === null ? null : Buffer.from(base64, 'base64'))
    return `${printable(name)}: ${shown}`
  })
  lines.push(['headers', own.length === 0 ? '(none)' : indent(own.join('\n'))])
  const body = value === null ? '(none)' : readable(value)
  const head = lines.map(([name, text]) => `${name.padEnd(10)}  ${text}\n`).join('')
  return `${head}value       ${value === null ? '' : `${count(value.length)} bytes`}\n${body}\n`
}

const indent = (text: string) => text.replaceAll('\n', '\n            ')

/** What is left out of a redrive, and why. */
export function leftOut(plan: Plan, attemptsMax: number): string[] {
  const parts: string[] = []
  if (plan.attempts > 0) {
    parts.push(`${count(plan.attempts)} left out: redriven ${attemptsMax} times or more already (--attempts-max).`)
  }
  if (plan.unreadable > 0) {
    parts.push(
      `${count(plan.unreadable)} left out: unreadable_batch, of which there is no record to send, only the batch's bytes.`,
    )
  }
  if (plan.partitionGone > 0) {
    parts.push(`${count(plan.partitionGone)} left out: their topic or partition does not exist any more.`)
  }
  return parts
}

export function renderSettled({ sent, reopened }: Settled): string {
  if (sent > 0) return `An interrupted redrive had sent its last ${count(sent)}: they are redriven.\n`
  return reopened > 0 ? `An interrupted redrive had not sent its last ${count(reopened)}: they are open again.\n` : ''
}

export function progressBar(done: number, total: number, columns: number): string {
  const share = total === 0 ? 1 : done / total
  const told = ` ${count(done)} of ${count(total)} (${Math.floor(share * 100)} %)`
  const width = Math.max(0, Math.min(40, columns - told.length - 12))
  const full = Math.floor(share * width)
  return `\r\x1b[2Kredriving ${'#'.repeat(full)}${'.'.repeat(width - full)}${told}`
}
