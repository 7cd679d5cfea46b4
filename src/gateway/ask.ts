/** What a command of the command line answers with --json, for whoever asks over a network: one body of each, two faces. */
import { RequestError } from './problem.ts'

export interface Io {
  readonly write: (text: string) => void
  readonly writeError: (text: string) => void
}

export interface Told {
  readonly code: number
  // biome-ignore lint/suspicious/noExplicitAny: its shape is the command's, as its schema says
  readonly value: any
  /** What the command says besides: a day that had to be read from end to end. */
  readonly notes: readonly string[]
}

export async function ask(command: (io: Io) => Promise<number>): Promise<Told> {
  const texts: string[] = []
  const notes: string[] = []
  const code = await command({ write: (text) => texts.push(text), writeError: (text) => notes.push(text.trim()) })
  const text = texts.join('')
  if (text === '')
    throw new RequestError('REQUEST_TIMEOUT', 'The request was ended before there was an answer.', 'Ask again.')
  return { code, value: JSON.parse(text), notes }
}
