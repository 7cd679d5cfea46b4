/** A PostgreSQL server for one test file, and fresh databases on it. */
import { randomUUID } from 'node:crypto'
import { after, before } from 'node:test'
import pg from 'pg'
import { migrate } from '../../src/schema/migrate.ts'

export const noSignal = new AbortController().signal

export interface Database {
  connect(): Promise<pg.Client>
}

/** Call at the top of a test file; the server is there once its tests run. */
export function useServer(): { database(options?: { migrated?: boolean }): Promise<Database> } {
  let url: URL
  const clients: pg.Client[] = []

  const connect = async (target: URL): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: target.href })
    // A session ended on purpose by a test, or by the server's stop, is no failure of its own.
    client.on('error', () => {})
    await client.connect()
    clients.push(client)
    return client
  }

  before(async () => {
    url = new URL(process.env.MILLRACE_TEST_POSTGRES ?? '')
  })

  after(async () => {
    await Promise.all(clients.map((client) => client.end()))
  })

  return {
    async database({ migrated = true } = {}) {
      const name = `test_${randomUUID().replaceAll('-', '')}`
      const admin = await connect(url)
      await admin.query(`create database ${name}`)
      const target = new URL(url)
      target.pathname = `/${name}`
      if (migrated) await migrate({ session: await connect(target), signal: noSignal })
      return { connect: () => connect(target) }
    },
  }
}
