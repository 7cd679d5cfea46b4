/** Finds a consumer by its file name in consumers/. Adding a consumer is adding a file. */
import { existsSync, readdirSync } from 'node:fs'
import { FatalError } from '../core/errors.ts'
import { nearest } from '../core/nearest.ts'
import type { ConsumerDefinition } from '../define.ts'

export interface LoadedConsumer {
  readonly name: string
  readonly url: string
  readonly definition: ConsumerDefinition
}

const directory = new URL('../../consumers/', import.meta.url)

export function consumerNames(): string[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.ts'))
    .map((file) => file.slice(0, -3))
    .sort()
}

export async function loadConsumer(name: string): Promise<LoadedConsumer> {
  const url = new URL(`${name}.ts`, directory)
  if (!/^[a-z0-9-]+$/.test(name) || !existsSync(url)) {
    const guess = nearest(name, consumerNames())
    throw new FatalError(
      'CONSUMER_UNKNOWN',
      `There is no consumer '${name}'.`,
      guess === null ? `There are: ${consumerNames().join(', ')}.` : `Did you mean '${guess}'?`,
    )
  }
  let definition: ConsumerDefinition | undefined
  try {
    definition = ((await import(url.href)) as { default?: ConsumerDefinition }).default
  } catch (error) {
    throw new FatalError(
      'CONSUMER_INVALID',
      `consumers/${name}.ts: ${(error as Error).message}.`,
      'Correct the file.',
      error,
    )
  }
  if (definition?.decoder === undefined || definition.topic === undefined || definition.table === undefined) {
    throw new FatalError(
      'CONSUMER_INVALID',
      `consumers/${name}.ts does not export a consumer.`,
      'Write `export default defineConsumer({ topic, table, decoder })`; consumers/cloud-events.ts is an example.',
    )
  }
  return { name, url: url.href, definition }
}
