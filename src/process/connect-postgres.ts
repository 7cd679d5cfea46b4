/**
 * What the PostgreSQL client is told, from settings; and what a failed first connection means.
 *
 * TLS is worked out here and not by the client: its reading of `sslmode` differs from libpq's (require verifies there, which surprises everybody
 * whose server has a certificate of its own making), so the words mean what the PostgreSQL manual says they mean.
 */
import pg, { type ClientConfig } from 'pg'
import { type Code, FatalError } from '../core/errors.ts'
import type { Settings } from '../core/settings.ts'
import { hidePassword } from '../core/settings-kinds.ts'
import { isUnreachable, saidBy } from './cause.ts'
import { pems, readPem, readPemFile } from './read-pem.ts'

const keepAliveMs = 10_000
/** Parameters of the URL that are settled here; the others go to the client as they are. */
const tlsParameters = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'ssl', 'sslpassword', 'uselibpqcompat']

export function postgresConfig(settings: Settings, applicationName: string): ClientConfig {
  const url = new URL(settings.postgresUrl)
  const ssl = tlsOf(settings, url)
  for (const parameter of tlsParameters) url.searchParams.delete(parameter)
  if (settings.postgresPassword !== '') {
    url.password = ''
    url.searchParams.delete('password')
  }
  const direct = url.searchParams.get('sslnegotiation') === 'direct'
  if (direct) url.searchParams.delete('sslnegotiation')
  return {
    ...parts(url),
    ...(settings.postgresPassword !== '' && { password: settings.postgresPassword }),
    application_name: applicationName,
    connectionTimeoutMillis: settings.connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: keepAliveMs,
    ssl,
    ...(direct && ssl !== false && { sslnegotiation: 'direct' as const }),
  }
}

/** A connected session, or a FatalError that says why there is none. */
export async function connectPostgres(settings: Settings, applicationName: string): Promise<pg.Client> {
  const client = new pg.Client(postgresConfig(settings, applicationName))
  // Without a listener a connection lost between two queries would end the process; the next query says it.
  client.on('error', () => {})
  try {
    await client.connect()
    return client
  } catch (error) {
    throw postgresFailure(error, settings)
  }
}

/** The URL's parts one by one: a connection string in the config would overrule what stands beside it, `ssl` included. */
function parts(url: URL): ClientConfig {
  const query = url.searchParams
  const host = query.get('host') ?? decodeURIComponent(url.hostname).replace(/^\[(.+)\]$/, '$1')
  const port = query.get('port') ?? url.port
  const user = query.get('user') ?? decodeURIComponent(url.username)
  const password = query.get('password') ?? decodeURIComponent(url.password)
  const database = decodeURIComponent(url.pathname.slice(1))
  const options = query.get('options')
  return {
    ...(host !== '' && { host }),
    ...(port !== '' && { port: Number(port) }),
    ...(user !== '' && { user }),
    ...(password !== '' && { password }),
    ...(database !== '' && { database }),
    ...(options !== null && { options }),
  }
}

function tlsOf(settings: Settings, url: URL): NonNullable<ClientConfig['ssl']> {
  const mode = settings.postgresTls === 'url' ? (url.searchParams.get('sslmode') ?? 'disable') : settings.postgresTls
  if (mode === 'disable') return false
  const fromUrl = (parameter: string) => {
    const path = url.searchParams.get(parameter)
    return path === null || path === '' ? undefined : readPemFile(path, `${parameter} of MILLRACE_POSTGRES`)
  }
  const files = pems(
    readPem(settings, 'postgresCaFile') ?? fromUrl('sslrootcert'),
    readPem(settings, 'postgresCertFile') ?? fromUrl('sslcert'),
    readPem(settings, 'postgresKeyFile') ?? fromUrl('sslkey'),
  )
  switch (mode) {
    case 'verify-full':
      return files
    case 'verify-ca':
    case 'require':
    case 'no-verify':
      // As in libpq: with an authority at hand, require verifies the chain; the name is only verified by verify-full.
      if (mode !== 'no-verify' && 'ca' in files) return { ...files, checkServerIdentity: () => undefined }
      if (mode === 'verify-ca') {
        throw new FatalError(
          'SETTINGS_INVALID',
          'postgresTls verify-ca needs an authority.',
          'Set MILLRACE_POSTGRES_CA_FILE, or use verify-full with a public authority.',
        )
      }
      return { ...files, rejectUnauthorized: false }
    default:
      // prefer and allow fall back to plain text when somebody on the way asks for it.
      throw new FatalError(
        'SETTINGS_INVALID',
        `sslmode=${mode} is not supported.`,
        'Use disable, require, verify-ca or verify-full in MILLRACE_POSTGRES or MILLRACE_POSTGRES_TLS.',
      )
  }
}

/** A failed first connection, by SQLSTATE and system error. */
export function postgresFailure(error: unknown, settings: Settings): FatalError {
  const where = hidePassword(settings.postgresUrl)
  const { code = '' } = (error ?? {}) as { code?: string }
  const said = saidBy(error)
  const fail = (ours: Code, what: string, remedy: string) => new FatalError(ours, what, remedy, error)
  switch (code) {
    case '28P01': // invalid_password
    case '28000': // invalid_authorization_specification; also what pg_hba.conf refuses
      return fail(
        'POSTGRES_AUTH',
        `PostgreSQL refuses the login at ${where}: ${said}.`,
        /no encryption|pg_hba/.test(said)
          ? 'If pg_hba.conf asks for TLS, set MILLRACE_POSTGRES_TLS=require or stricter; else add a line for this host.'
          : 'Check the user and password of MILLRACE_POSTGRES.',
      )
    case '3D000': // invalid_catalog_name
      return fail(
        'POSTGRES_DENIED',
        `There is no such database at ${where}: ${said}.`,
        'Create it, or correct the name at the end of MILLRACE_POSTGRES.',
      )
    case '42501': // insufficient_privilege
      return fail(
        'POSTGRES_DENIED',
        `PostgreSQL denies the user what it needs: ${said}.`,
        'Grant what migrations/roles.sql lists; `millrace doctor` names what is missing.',
      )
    case '53300': // too_many_connections
      return fail(
        'POSTGRES_BUSY',
        `PostgreSQL at ${where} has no connection left: ${said}.`,
        'Raise max_connections or run fewer replicas or lanes.',
      )
    case '57P03': // cannot_connect_now: starting up, shutting down or in recovery
      return fail('POSTGRES_BUSY', `PostgreSQL at ${where} is not ready: ${said}.`, 'Wait until it has started.')
  }
  if (/SASL|password must be a string|SCRAM/i.test(said)) {
    return fail(
      'POSTGRES_AUTH',
      `PostgreSQL at ${where} asks for a password and there is none that fits: ${said}.`,
      'Put it into MILLRACE_POSTGRES_PASSWORD or MILLRACE_POSTGRES_PASSWORD_FILE.',
    )
  }
  if (/certificate|self.signed|altnames|does not support SSL|SSL|TLS/i.test(said)) {
    return fail(
      'POSTGRES_AUTH',
      `The TLS handshake with PostgreSQL at ${where} failed: ${said}.`,
      'Check MILLRACE_POSTGRES_TLS and MILLRACE_POSTGRES_CA_FILE against what the server offers.',
    )
  }
  if (isUnreachable(code) || /timeout|terminated/i.test(said)) {
    return fail(
      'POSTGRES_UNREACHABLE',
      `PostgreSQL does not answer at ${where}: ${said}.`,
      'Check MILLRACE_POSTGRES and that the server runs and listens there.',
    )
  }
  return fail(
    'POSTGRES_FAILED',
    `PostgreSQL at ${where}: ${said}${code === '' ? '' : ` (${code})`}.`,
    'See the server log.',
  )
}
