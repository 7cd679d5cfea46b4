/** A PostgreSQL server for one test file, and fresh databases on it. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { after, before } from 'node:test'
import pg from 'pg'
import { migrate } from '../../src/schema/migrate.ts'
import { type Stack, startStack } from '../../src/stack/stack.ts'

export const noSignal = new AbortController().signal

export interface Database {
  readonly url: string
  connect(): Promise<pg.Client>
}

/** Call at the top of a test file; the server is there once its tests run. */
export function useServer(): { database(options?: { migrated?: boolean }): Promise<Database> } {
  let starting: Promise<Stack> | undefined
  const clients: pg.Client[] = []

  const connect = async (target: URL): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: target.href })
    // A session ended on purpose by a test, or by the server's stop, is no failure of its own.
    client.on('error', () => {})
    await client.connect()
    clients.push(client)
    return client
  }

  // Hooks of the file itself may ask for a database while ours is still at it.
  const start = () => {
    starting ??= startStack({
      root: join(import.meta.dirname, '../..'),
      name: `test-${randomUUID().slice(0, 8)}`,
      servers: ['postgres'],
      temporary: true,
      quick: true,
    })
    return starting
  }

  before(start)

  after(async () => {
    await Promise.all(clients.map((client) => client.end()))
    await (await starting)?.remove()
  })

  return {
    async database({ migrated = true } = {}) {
      const name = `test_${randomUUID().replaceAll('-', '')}`
      const stack = await start()
      const admin = await connect(new URL(stack.postgres))
      await admin.query(`create database ${name}`)
      const target = new URL(stack.postgres)
      target.pathname = `/${name}`
      if (migrated) await migrate({ session: await connect(target), signal: noSignal })
      return { url: target.href, connect: () => connect(target) }
    },
  }
}
