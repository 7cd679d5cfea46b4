/**
 * A file, written whole: it grows as `<path>.part` and gets its name at the end. What is known to be on the disk is its length, noted with the position; gone
 * on with, the file is cut back to that length first, so each event is there once. A disk that is full cuts it back to the last whole event.
 */
import { constants } from 'node:fs'
import { type FileHandle, link, open, stat, unlink } from 'node:fs/promises'
import { FatalError } from '../core/errors.ts'
import { bytesOf, copyEntry, type ReplayEvent } from './entry.ts'
import type { ReplayTarget, TargetState } from './target.ts'

export interface FileTargetOptions {
  readonly path: string
  /** jsonl: an event a line. batch: one JSON array, as application/cloudevents-batch+json has it. */
  readonly format: 'jsonl' | 'batch'
  /** False: it is gone on with, at what `state` says. */
  readonly isNew: boolean
  readonly state: TargetState
}

/** Of the usual batch: an allocation for each would only make work for the garbage collector. */
const memoryBytes = 2 * 1024 * 1024

export async function openFileTarget({ path, format, isNew, state }: FileTargetOptions): Promise<ReplayTarget> {
  const part = `${path}.part`
  const isBatch = format === 'batch'
  let length = Number(state?.length ?? 0)
  if (!isNew && (await isWhole(path, part))) return wholeFile(part)
  if (await exists(path)) {
    throw new FatalError('REPLAY_TARGET', `The file ${path} is there already.`, 'Name another one, or remove it.')
  }
  const file = await opened(part, !isNew)
  try {
    await cutBack(file, part, length)
  } catch (error) {
    await file.close()
    throw error
  }

  const memory = Buffer.allocUnsafeSlow(memoryBytes)

  /** A write that fails half-way is taken back, where the disk lets us: a file shall hold whole events. */
  async function append(bytes: Buffer): Promise<void> {
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesWritten } = await file.write(bytes, at, bytes.length - at, length + at)
        at += bytesWritten
      }
    } catch (error) {
      await file.truncate(length).catch(() => {})
      throw fileFailure(error, part)
    }
    length += bytes.length
  }

  return {
    rewinds: false,
    after: async () => undefined,
    async write(events) {
      await append(isBatch ? batchBytes(events, length === 0) : lines(events, memory))
    },
    async settle() {
      await file.datasync().catch((error: unknown) => {
        throw fileFailure(error, part)
      })
      return { length }
    },
    async finish() {
      if (isBatch) await append(Buffer.from(length === 0 ? '[\n]\n' : '\n]\n'))
      await file.sync()
      // Unlike a rename, a link leaves alone what somebody has put there meanwhile.
      await link(part, path).catch((error: unknown) => {
        throw fileFailure(error, path)
      })
      await unlink(part)
    },
    discard: () => gone(part),
    close: () => file.close(),
  }
}

async function cutBack(file: FileHandle, part: string, length: number): Promise<void> {
  if ((await file.stat()).size < length) {
    throw new FatalError(
      'REPLAY_TARGET',
      `${part} is shorter than what was written to it.`,
      'Discard this replay and begin another.',
    )
  }
  await file.truncate(length).catch((error: unknown) => {
    throw fileFailure(error, part)
  })
}

/** Somebody may have taken it away already. */
const gone = (part: string) =>
  unlink(part).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw fileFailure(error, part)
  })

/** Killed when it had its name already, and nobody had noted that it is done. */
async function isWhole(path: string, part: string): Promise<boolean> {
  const named = await stat(path).catch(() => null)
  const begun = await stat(part).catch(() => null)
  return named !== null && (begun === null || (begun.ino === named.ino && begun.dev === named.dev))
}

const wholeFile = (part: string): ReplayTarget => ({
  rewinds: false,
  after: async () => undefined,
  async write() {
    throw new FatalError('REPLAY_TARGET', 'The file is whole, and there are more events.', 'Begin another replay.')
  },
  settle: async () => null,
  finish: () => gone(part),
  discard: () => gone(part),
  close: async () => {},
})

async function opened(part: string, isThere: boolean): Promise<FileHandle> {
  try {
    return await open(part, isThere ? 'r+' : constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o644)
  } catch (error) {
    throw fileFailure(error, part)
  }
}

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  )

/** JSON breaks lines between its tokens only, where a space is as good. */
export function oneLine(bytes: Buffer): Buffer {
  for (let at = 0; at < bytes.length; at++) if (bytes[at] === 0x0a || bytes[at] === 0x0d) bytes[at] = 0x20
  return bytes
}

/** Written over `memory`, where that is large enough. */
export function lines(events: readonly ReplayEvent[], memory?: Buffer): Buffer {
  const size = bytesOf(events) + events.length
  const bytes = memory !== undefined && memory.length >= size ? memory.subarray(0, size) : Buffer.allocUnsafeSlow(size)
  let at = 0
  for (const event of events) {
    const end = copyEntry(event, bytes, at)
    bytes[end] = 0x0a
    if (bytes.indexOf(0x0a, at) < end) oneLine(bytes.subarray(at, end))
    at = end + 1
  }
  // Hardly ever.
  if (bytes.includes(0x0d)) for (let i = 0; i < size; i++) if (bytes[i] === 0x0d) bytes[i] = 0x20
  return bytes
}

function batchBytes(events: readonly ReplayEvent[], isFirst: boolean): Buffer {
  return Buffer.concat(events.flatMap(({ entry }, index) => [isFirst && index === 0 ? opening : between, entry]))
}
const opening = Buffer.from('[\n')
const between = Buffer.from(',\n')

function fileFailure(error: unknown, path: string): FatalError {
  const { code = '', message } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new FatalError(
      'DISK_FULL',
      `No room for ${path}; what is written of it is whole events.`,
      'Make room, then go on with the replay.',
      error,
    )
  }
  if (code === 'EEXIST') {
    return new FatalError('REPLAY_TARGET', `${path} is there already.`, 'Name another file, or remove it.', error)
  }
  return new FatalError(
    'REPLAY_TARGET',
    `${path} cannot be written: ${message}.`,
    'Look after it, or name another.',
    error,
  )
}
