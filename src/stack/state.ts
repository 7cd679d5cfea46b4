/**
 * What is on disk about a stack, enough for another process to find, use, or end it. Written whole and renamed into place, so a reader sees the old or the new.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Identity } from './lock.mjs'

export const serverNames = ['kafka', 'postgres', 'redis'] as const
export type ServerName = (typeof serverNames)[number]

export type Ports = { kafka: number; controller: number; postgres: number; redis: number }

export type State = {
  version: 1
  name: string
  mode: 'native' | 'docker'
  /** Whose death ends the servers; null for a stack that `up` left running on purpose. */
  owner: Identity | null
  /** Data that nobody wants once the owner is gone (tests). */
  temporary: boolean
  ports: Partial<Ports>
  servers: Partial<Record<ServerName, Identity>>
}

export function stackFolder(root: string, name: string): string {
  return join(root, '.local', 'stacks', name)
}

export function readState(folder: string): State | undefined {
  try {
    const state = JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8')) as State
    return state.version === 1 ? state : undefined
  } catch {
    return undefined
  }
}

export function writeState(folder: string, state: State): void {
  writeWhole(join(folder, 'state.json'), `${JSON.stringify(state, null, 2)}\n`)
}

/** Whoever reads it at any moment has the old or the new. */
export function writeWhole(path: string, text: string): void {
  const beside = `${path}.${process.pid}`
  writeFileSync(beside, text)
  renameSync(beside, path)
}
