/**
 * The ground's PostgreSQL: one server, or a primary with an asynchronous streaming standby. Clients reach the primary through one address of ours, which
 * is led to the standby when that is promoted, as a virtual IP would be; the standby streams through another, so that it can be held back by real
 * transactions that it never received.
 */
import pg from 'pg'
import { installParts } from '../../../src/stack/parts.ts'
import { freePort } from '../../../src/stack/ports.ts'
import { startWatchdog } from '../../../src/stack/watchdog.ts'
import { startProxy, type TcpProxy, through } from '../../e2e/proxy.ts'
import { until } from '../../e2e/until.ts'
import { copyServer, type PostgresServer, postgresServer } from './postgres-server.ts'

export interface PostgresGround {
  /** The primary, whichever server that is, through `proxy`. */
  readonly url: string
  /** The primary, past every proxy: for those who look on. It changes with promote(). */
  readonly directUrl: string
  readonly proxy: TcpProxy
  readonly logs: readonly string[]
  readonly primary: PostgresServer
  readonly standby: PostgresServer | null
  /** Ends the primary's postmaster. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** The primary again. */
  start(): Promise<void>
  /** A statement on the primary, past the proxy, by a session that lives through restarts and promotion. */
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
  /** From now on the standby receives nothing, until releaseStandby(). */
  holdStandby(): void
  releaseStandby(): void
  /** Bytes of WAL that the primary has and the standby has not received. */
  standbyBehind(): Promise<number>
  /** The standby has received and replayed all that the primary had when this was called. */
  untilStandbyFollows(limitMs?: number): Promise<void>
  /** The standby becomes the primary as far as it has got, and the address leads to it. The old primary must be dead, or nobody keeps clients off it. */
  promote(): Promise<void>
  /** A fresh copy of the primary, as its standby; in place of whatever the other server held. */
  renewStandby(): Promise<void>
  close(): Promise<void>
}

export interface PostgresGroundOptions {
  /** Where the project's parts are. */
  readonly root: string
  /** For data and logs; the caller removes it. */
  readonly folder: string
  readonly settings?: Readonly<Record<string, string>>
}

const password = 'millrace'

export async function startPostgres(
  kind: 'single' | 'pair',
  { root, folder, settings = {} }: PostgresGroundOptions,
): Promise<PostgresGround> {
  const { postgres: parts } = await installParts(root, ['postgres'], () => {})
  if (parts === undefined) throw new Error('PostgreSQL was not installed.')
  const watchdog = startWatchdog()
  const taken = new Set<number>()
  const open = new AsyncDisposableStack()
  open.defer(() => watchdog.done())

  const makeServer = async (name: string, more: Readonly<Record<string, string>>): Promise<PostgresServer> => {
    const port = await freePort(taken)
    taken.add(port)
    const server = postgresServer({ name, parts, folder, port, settings: { ...settings, ...more }, watchdog })
    open.defer(() => server.kill('SIGQUIT'))
    return server
  }

  try {
    const stream = kind === 'pair' ? await startProxy('tcp://127.0.0.1:1') : null
    if (stream !== null) open.defer(() => stream.close())
    const follows: Record<string, string> =
      stream === null
        ? {}
        : {
            // Both servers carry it, since either may be the standby; without standby.signal it means nothing.
            primary_conninfo: `host=127.0.0.1 port=${stream.port} user=millrace password=${password}`,
            // What a standby that is held back needs later.
            wal_keep_size: '768MB',
            wal_retrieve_retry_interval: '500ms',
          }
    let primary = await makeServer('postgres-a', follows)
    let standby = stream === null ? null : await makeServer('postgres-b', follows)
    await primary.start()
    const proxy = await startProxy(primary.url)
    open.defer(() => proxy.close())

    let session: pg.Client | null = null
    const forget = async () => {
      const old = session
      session = null
      await old?.end().catch(() => {})
    }
    open.defer(forget)
    async function query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> {
      for (const isLast of [false, true]) {
        session ??= await connectTo(primary.url)
        try {
          return (await session.query<Row>(text, values)).rows
        } catch (error) {
          // An answer of the server is one; a dead session is tried once more on a new one.
          if (isLast || (error instanceof pg.DatabaseError && !error.code?.startsWith('57P'))) throw error
          await forget()
        }
      }
      throw new Error('unreachable')
    }

    async function renewStandby(): Promise<void> {
      if (stream === null || standby === null) throw new Error('There is no standby: the ground is single.')
      await standby.kill('SIGKILL')
      stream.switchTo(primary.url)
      stream.release()
      await copyServer(primary, standby)
      await standby.start()
    }
    if (standby !== null) await renewStandby()

    const there = () => {
      if (standby === null || stream === null) throw new Error('There is no standby: the ground is single.')
      return { standby, stream }
    }
    const position = async (server: PostgresServer, text: string) => {
      const client = await connectTo(server.url)
      try {
        return (await client.query<{ lsn: string | null }>(`SELECT (${text})::text AS lsn`)).rows[0]?.lsn ?? '0/0'
      } finally {
        await client.end()
      }
    }
    const behind = async (text: string, of: string) => {
      const lsn = await position(there().standby, text)
      const [row] = await query<{ bytes: string }>('SELECT pg_wal_lsn_diff($1, $2)::text AS bytes', [of, lsn])
      return Number(row?.bytes)
    }
    const end = async () => (await query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn'))[0]?.lsn ?? '0/0'

    return {
      url: through(primary.url, proxy),
      get directUrl() {
        return primary.url
      },
      proxy,
      logs: [primary.log, ...(standby === null ? [] : [standby.log])],
      get primary() {
        return primary
      },
      get standby() {
        return standby
      },
      kill: (signal) => primary.kill(signal),
      start: () => primary.start(),
      query,
      holdStandby: () => there().stream.hold(),
      releaseStandby: () => there().stream.release(),
      standbyBehind: async () => behind('pg_last_wal_receive_lsn()', await end()),
      async untilStandbyFollows(limitMs = 60_000) {
        const of = await end()
        await until('the standby to follow', limitMs, async () => {
          const bytes = await behind('pg_last_wal_replay_lsn()', of)
          if (bytes <= 0) return true
          throw new Error(`${bytes} bytes behind`)
        })
      },
      async promote() {
        const { standby: next } = there()
        const client = await connectTo(next.url)
        try {
          await client.query('SELECT pg_promote(true, 60)')
        } finally {
          await client.end()
        }
        ;[primary, standby] = [next, primary]
        await forget()
        proxy.switchTo(primary.url)
        proxy.cutAll()
      },
      renewStandby,
      close: () => open.disposeAsync(),
    }
  } catch (error) {
    await open.disposeAsync()
    throw error
  }
}

async function connectTo(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'chaos', connectionTimeoutMillis: 5000 })
  client.on('error', () => {})
  await client.connect()
  return client
}
