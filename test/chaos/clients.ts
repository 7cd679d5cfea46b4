/** The runner's own eyes: clients of Kafka and PostgreSQL that live through restarts, because a broken connection is thrown away and made anew. */
import kafkajs, { type Admin, type Kafka } from 'kafkajs'
import pg from 'pg'
import { mendKafkajs } from '../../src/flow/consume/kafkajs-mend.ts'
import { within } from '../e2e/until.ts'

const answerMs = 10_000

export interface KafkaEyes {
  readonly kafka: Kafka
  /** Throws what the client throws, at the latest after some seconds. */
  admin<T>(ask: (admin: Admin) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export function openKafkaEyes(brokers: readonly string[]): KafkaEyes {
  mendKafkajs()
  const kafka = new kafkajs.Kafka({
    brokers: [...brokers],
    logLevel: kafkajs.logLevel.NOTHING,
    connectionTimeout: 2000,
    requestTimeout: 4000,
    retry: { initialRetryTime: 100, maxRetryTime: 500, retries: 3 },
  })
  let admin: Promise<Admin> | null = null
  const open = async () => {
    const made = kafka.admin()
    await made.connect()
    return made
  }
  const drop = (failed: Promise<Admin>) => {
    if (admin === failed) admin = null
    void failed.then((one) => one.disconnect()).catch(() => {})
  }
  return {
    kafka,
    async admin(ask) {
      admin ??= open()
      const used = admin
      try {
        return await within('an answer from Kafka', answerMs, used.then(ask))
      } catch (error) {
        drop(used)
        throw error
      }
    },
    async close() {
      if (admin !== null)
        await within(
          'Kafka to let go',
          answerMs,
          admin.then((one) => one.disconnect()),
        ).catch(() => {})
    },
  }
}

export interface SqlEyes {
  query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>
  close(): Promise<void>
}

/** `url` is asked for again with each new connection: it may have moved. */
export function openSqlEyes(url: () => string): SqlEyes {
  let client: pg.Client | null = null
  async function connected(): Promise<pg.Client> {
    if (client !== null) return client
    const made = new pg.Client({ connectionString: url(), connectionTimeoutMillis: 5000, query_timeout: 30_000 })
    made.on('error', () => {
      if (client === made) client = null
    })
    await made.connect()
    client = made
    return made
  }
  return {
    async query<R extends pg.QueryResultRow>(text: string, values?: unknown[]) {
      const first = await connected()
      try {
        return (await first.query<R>(text, values)).rows
      } catch (error) {
        // The server said no; anything else is the connection's end.
        if (error instanceof pg.DatabaseError && !/^(57P|08)/.test(error.code ?? '')) throw error
        client = null
        void first.end().catch(() => {})
        return (await (await connected()).query<R>(text, values)).rows
      }
    },
    async close() {
      await client?.end().catch(() => {})
    },
  }
}
