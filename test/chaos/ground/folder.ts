/** A folder for the data and logs of a server of the ground; when this process is killed, whoever starts a stack next sweeps it away. */
import { mkdirSync } from 'node:fs'
import { identify } from '../../../src/stack/lock.mjs'
import { stackFolder, writeState } from '../../../src/stack/state.ts'

export function openFolder(root: string, name: string): string {
  const folder = stackFolder(root, name)
  mkdirSync(folder, { recursive: true })
  const owner = identify(process.pid) ?? null
  writeState(folder, { version: 1, name, mode: 'native', owner, temporary: true, ports: {}, servers: {} })
  return folder
}
