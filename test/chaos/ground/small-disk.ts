/**
 * A disk that can be full: a folder put on a file system of its own in memory, whose size is then taken down to what is used. What a server meets is
 * the kernel's own ENOSPC. Mounting needs root, and a container that allows it.
 */
import { mkdirSync, mkdtempSync, renameSync, rmdirSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lastLines, run } from '../../../src/stack/run.ts'
import { startWatchdog } from '../../../src/stack/watchdog.ts'

export interface SmallDisk {
  /** Not one page more than what is there now, or hardly more where somebody writes just then. */
  fill(): Promise<void>
  /** Room again. */
  free(): Promise<void>
  /** The folder as it was before; what was written since is gone. */
  putBack(): Promise<void>
}

const roomBytes = 8 * 1024 ** 3
const slackBytes = 16 * 1024

/** Why nothing can be mounted here, or null. */
export async function whyNoMount(): Promise<string | null> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-mount-'))
  try {
    const ran = await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'millrace-chaos', folder])
    if (ran.code !== 0) return `it needs root and mount (${ran.missing ? 'there is no mount' : lastLines(ran.out, 1)})`
    await run('umount', [folder])
    return null
  } finally {
    rmdirSync(folder)
  }
}

/** Whoever uses the folder must have stopped. Throws where mounting is not allowed. */
export async function putOnSmallDisk(folder: string): Promise<SmallDisk> {
  const kept = `${folder}.kept`
  const watchdog = startWatchdog()
  const must = async (...words: string[]) => {
    const ran = await run(words[0] as string, words.slice(1))
    if (ran.code !== 0) throw new Error(`${words.join(' ')}: ${lastLines(ran.out, 1)}`)
  }
  const size = (bytes: number) => must('mount', '-o', `remount,size=${Math.ceil(bytes / 4096) * 4}k`, folder)
  renameSync(folder, kept)
  mkdirSync(folder, { mode: 0o700 })
  const undo = async () => {
    rmdirSync(folder)
    renameSync(kept, folder)
    watchdog.done()
  }
  try {
    await must('mount', '-t', 'tmpfs', '-o', `size=${roomBytes / 1024}k,mode=0700`, 'millrace-chaos', folder)
  } catch (error) {
    await undo()
    throw error
  }
  // Should we die, it is taken away all the same; the data is in the way of nobody.
  watchdog.run(['umount', '-l', folder])
  await must('cp', '-a', `${kept}/.`, folder)
  return {
    async fill() {
      // While somebody writes, what was just enough is too little for the kernel to accept: a second look then, and each time a little more room.
      for (let tries = 1; ; tries++) {
        const { blocks, bfree, bsize } = statfsSync(folder)
        try {
          return await size((blocks - bfree) * bsize + (tries - 1) * slackBytes)
        } catch (error) {
          if (tries === 20) throw error
        }
      }
    },
    free: () => size(roomBytes),
    async putBack() {
      await must('umount', '-l', folder)
      await undo()
    },
  }
}
