/**
 * What `npm start` leaves beside its servers about its fleet, for others on this machine to find it: where each replica answers, and the page. Written
 * whole and renamed into place; believed only while its owner lives.
 */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Identity, identify, isAlive } from './lock.mjs'
import { writeWhole } from './state.ts'

export interface FleetFile {
  readonly version: 1
  readonly owner: Identity
  readonly consumer: string
  /** Of the fleet page; null where there is none. */
  readonly page: string | null
  readonly replicas: readonly { readonly name: string; readonly adminUrl: string }[]
}

const path = (folder: string) => join(folder, 'fleet.json')

/** By this process, which is the owner. */
export function writeFleet(folder: string, fleet: Omit<FleetFile, 'version' | 'owner'>): void {
  const owner = identify(process.pid)
  if (owner === undefined) return
  const file: FleetFile = { version: 1, owner, ...fleet }
  writeWhole(path(folder), `${JSON.stringify(file, null, 2)}\n`)
}

export function removeFleet(folder: string): void {
  rmSync(path(folder), { force: true })
}

/** null when none runs there. */
export function readFleet(folder: string): FleetFile | null {
  try {
    const file = JSON.parse(readFileSync(path(folder), 'utf8')) as FleetFile
    return file.version === 1 && isAlive(file.owner) ? file : null
  } catch {
    return null
  }
}
