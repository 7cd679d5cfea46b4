/**
 * The stack through Docker Compose, for machines with an engine and without the native parts: the same promises on compose/compose.yaml.
 * Settings and ports that a caller asks for go into a second compose file in the stack's folder.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { lastLines, type Ran, run } from './run.ts'
import { type Ports, type ServerName, serverNames, stackFolder } from './state.ts'

export type ComposeSettings = Partial<Record<ServerName, Record<string, string>>>

export async function hasEngine(): Promise<boolean> {
  const [compose, engine] = await Promise.all([
    run('docker', ['compose', 'version']),
    run('docker', ['info', '--format', '{{.ServerVersion}}']),
  ])
  return compose.code === 0 && engine.code === 0
}

/** One project per clone and stack, so two clones do not fight over names. */
export function projectOf(root: string, name: string): string {
  const hash = createHash('sha256').update(root).digest('hex').slice(0, 8)
  return `millrace-${hash}-${name.replaceAll('.', '-')}`
}

export function composeWords(root: string, name: string, args: readonly string[]): string[] {
  const files = ['-f', join(root, 'compose', 'compose.yaml'), '-f', overridePath(root, name)]
  return ['docker', 'compose', '-p', projectOf(root, name), ...files, ...args]
}

/** JSON is YAML. `environment` is merged into compose.yaml's, `command` and `ports` take its place. */
export function overrides(ports: Pick<Ports, ServerName>, settings: ComposeSettings): object {
  const environment = Object.fromEntries(
    Object.entries(settings.kafka ?? {}).map(([key, value]) => [
      `KAFKA_${key.toUpperCase().replaceAll('.', '_')}`,
      value,
    ]),
  )
  environment.KAFKA_ADVERTISED_LISTENERS = `HOST://127.0.0.1:${ports.kafka},INTERNAL://kafka:19092`
  const postgres = {
    timezone: 'UTC',
    shared_buffers: '512MB',
    max_wal_size: '8GB',
    checkpoint_timeout: '15min',
    max_connections: '200',
    ...settings.postgres,
  }
  const redis = {
    appendonly: 'yes',
    appendfsync: 'everysec',
    'auto-aof-rewrite-min-size': '1gb',
    save: '',
    'maxmemory-policy': 'noeviction',
    ...settings.redis,
  }
  return {
    services: {
      kafka: { environment },
      postgres: {
        command: ['postgres', ...Object.entries(postgres).flatMap(([key, value]) => ['-c', `${key}=${value}`])],
      },
      redis: { command: ['redis-server', ...Object.entries(redis).flatMap(([key, value]) => [`--${key}`, value])] },
    },
  }
}

function overridePath(root: string, name: string): string {
  return join(stackFolder(root, name), 'compose.override.json')
}

/** compose.yaml takes the published ports from these. */
function portEnvironment(ports: Partial<Ports>): Record<string, string> {
  return Object.fromEntries(
    serverNames.flatMap((server) =>
      ports[server] === undefined ? [] : [[`MILLRACE_${server.toUpperCase()}_PORT`, String(ports[server])]],
    ),
  )
}

export async function composeUp(options: {
  root: string
  name: string
  servers: readonly ServerName[]
  ports: Pick<Ports, ServerName>
  settings: ComposeSettings
  onLine: (line: string) => void
  signal?: AbortSignal | undefined
}): Promise<void> {
  const { root, name, servers, ports, settings, onLine, signal } = options
  mkdirSync(stackFolder(root, name), { recursive: true })
  writeFileSync(overridePath(root, name), `${JSON.stringify(overrides(ports, settings), null, 2)}\n`)
  check(await compose(root, name, ['up', '-d', '--wait', '--quiet-pull', ...servers], { ports, onLine, signal }), name)
}

export async function composeDown(root: string, name: string, remove: boolean): Promise<void> {
  check(await compose(root, name, remove ? ['down', '--volumes'] : ['down']), name)
}

export async function composeStop(
  root: string,
  name: string,
  server: ServerName,
  signal?: NodeJS.Signals,
): Promise<void> {
  check(await compose(root, name, signal ? ['kill', '--signal', signal, server] : ['stop', server]), name)
  // kill only sends the signal.
  if (signal) check(await compose(root, name, ['wait', server]), name, true)
}

export async function runningServices(root: string, name: string): Promise<Set<ServerName>> {
  const { code, out } = await compose(root, name, ['ps', '--services', '--status', 'running'])
  const lines = code === 0 ? out.split('\n').map((line) => line.trim()) : []
  return new Set(serverNames.filter((server) => lines.includes(server)))
}

export async function composeLogs(options: {
  root: string
  name: string
  servers: readonly ServerName[]
  lines: number
  follow: boolean
  write: (text: string) => void
  signal?: AbortSignal
}): Promise<void> {
  const { root, name, servers, lines, follow, write, signal } = options
  const onLine = (line: string) => write(`${line}\n`)
  await compose(root, name, ['logs', '--tail', String(lines), ...(follow ? ['--follow'] : []), ...servers], {
    onLine,
    signal,
  })
}

function compose(
  root: string,
  name: string,
  args: readonly string[],
  options: { ports?: Partial<Ports>; onLine?: (line: string) => void; signal?: AbortSignal | undefined } = {},
): Promise<Ran> {
  const [docker, ...rest] = composeWords(root, name, args)
  const { ports = {}, onLine, signal } = options
  return run(docker!, rest, { env: portEnvironment(ports), signal, ...(onLine ? { onLine } : {}) })
}

function check(ran: Ran, name: string, mayFail = false): void {
  if (ran.code === 0 || mayFail) return
  throw new FatalError(
    'STACK_FAILED',
    `Docker Compose failed for the stack ${name}: ${lastLines(ran.out, 1)}.`,
    'Look at docker compose logs, or start without --docker.',
  )
}
