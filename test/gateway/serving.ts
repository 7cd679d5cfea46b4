/** `millrace serve` as a process, asked over HTTP; every answer is held against the document that it serves itself. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { main } from '../e2e/replaying.ts'
import { cleanEnv, guard } from '../e2e/replica.ts'
import type { Heard } from './world.ts'

export const token = 'serving-in-a-test-0123456789'
export const prefix = '/api/v1/event-replay'

export interface Serving {
  readonly url: string
  call(
    method: 'GET' | 'POST' | 'DELETE',
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Heard>
  get(path: string): Promise<Heard>
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<Heard>
  /** What a stream of server-sent events says, to its end. */
  listen(path: string): Promise<{ readonly event: string; readonly data: Record<string, unknown> }[]>
  log(): string
  /** Its exit code. */
  end(signal: NodeJS.Signals): Promise<number | null>
}

interface Document {
  readonly paths: Record<
    string,
    Record<string, { responses: Record<string, { content?: Record<string, { schema: object }> }> }>
  >
  readonly components: object
}

export async function startServing(env: Readonly<Record<string, string>>): Promise<Serving> {
  const own = {
    MILLRACE_GATEWAY_TOKEN: token,
    MILLRACE_GATEWAY_PORT: '0',
    MILLRACE_REDIS: 'off',
    MILLRACE_KAFKA: '127.0.0.1:1',
  }
  const child = spawn(process.execPath, [main, 'serve'], {
    env: cleanEnv({ ...own, ...env }) as NodeJS.ProcessEnv,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  guard(child)
  let log = ''
  const url = await new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (text) => {
      log += text
    })
    child.stdout.on('data', (text) => {
      const [, found] = /Serving on (\S+)/.exec(String(text)) ?? []
      if (found !== undefined) resolve(found)
    })
    child.once('exit', (code) => reject(new Error(`the server ended with ${code}: ${log}`)))
  })
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  const document = (await (await fetch(`${url}${prefix}/openapi.json`)).json()) as Document

  function fits(method: string, path: string, status: number, type: string, body: unknown): void {
    const row = Object.entries(document.paths).find(([template]) =>
      new RegExp(`^${template.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(`${prefix}${path.split('?', 1)[0]}`),
    )
    // The more exact path stands first where two fit: /replay/estimate takes POST alone.
    const answers = row?.[1][method.toLowerCase()]?.responses
    assert.ok(answers !== undefined, `${method} ${path} is not in the document`)
    const answer = answers[String(status)]
    assert.ok(
      answer !== undefined,
      `${method} ${path}: the document says nothing of ${status}: ${JSON.stringify(body)}`,
    )
    const schema = answer.content?.[type.split(';', 1)[0] as string]?.schema
    if (answer.content === undefined) return
    assert.ok(schema !== undefined, `${method} ${path} ${status}: ${type}`)
    const check = ajv.compile({ ...schema, components: document.components })
    assert.ok(check(body), `${method} ${path} ${status}: ${JSON.stringify(check.errors)} in ${JSON.stringify(body)}`)
  }

  const call: Serving['call'] = async (method, path, body, headers = {}) => {
    const response = await fetch(`${url}${prefix}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    })
    const text = await response.text()
    const got = text === '' ? undefined : JSON.parse(text)
    fits(method, path, response.status, response.headers.get('content-type') ?? '', got)
    return { status: response.status, body: got, headers: Object.fromEntries(response.headers) }
  }

  return {
    url,
    call,
    get: (path) => call('GET', path),
    post: (path, body, headers) => call('POST', path, body, headers),
    async listen(path) {
      const response = await fetch(`${url}${prefix}${path}`, { headers: { authorization: `Bearer ${token}` } })
      const text = await response.text()
      return [...text.matchAll(/event: (\w+)\ndata: (.*)\n/g)].map(([, event, data]) => ({
        event: event as string,
        data: JSON.parse(data as string),
      }))
    },
    log: () => log,
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      child.kill(signal)
      const [code] = await once(child, 'exit')
      return code
    },
  }
}
