/** A browser driven over the DevTools protocol: what the tests need of it, and nothing between them and Chromium. */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Chromium } from './install-chromium.ts'

export interface Look {
  readonly width: number
  readonly height: number
  readonly mobile: boolean
  readonly theme: 'light' | 'dark'
}

export interface Tab {
  /** What the console, the page's scripts and the network complained about. */
  readonly errors: readonly string[]
  /** Addresses that were asked for. */
  readonly requests: readonly string[]
  look(look: Look): Promise<void>
  goto(url: string): Promise<void>
  /** The value of an expression, as JSON; a promise is awaited. */
  evaluate<T>(expression: string): Promise<T>
  press(key: keyof typeof keys, modifiers?: { readonly shift?: boolean }): Promise<void>
  click(x: number, y: number): Promise<void>
  /** The whole page as PNG. */
  /** From the top of the page down. */
  screenshot(heightMax?: number): Promise<Buffer>
  send(method: string, params?: object): Promise<Record<string, unknown>>
  close(): Promise<void>
}

export interface Browser extends AsyncDisposable {
  open(): Promise<Tab>
}

const keys = {
  Tab: 9,
  Enter: 13,
  Space: 32,
  End: 35,
  Home: 36,
  ArrowLeft: 37,
  ArrowUp: 38,
  ArrowRight: 39,
  ArrowDown: 40,
} as const

const startMs = 30_000
const answerMs = 15_000
const args = [
  '--headless',
  // Only our own page is opened, and containers do not allow what the sandbox needs.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-dev-shm-usage',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-crash-reporter',
  '--disable-sync',
  '--no-first-run',
  '--hide-scrollbars',
  '--remote-debugging-port=0',
  // Whoever connects says where it comes from, or says nothing.
  '--remote-allow-origins=*',
]

type Message = {
  id?: number
  sessionId?: string
  method?: string
  params?: Record<string, unknown>
  result?: Record<string, unknown>
  error?: { message: string }
}

export async function openBrowser({ command, env }: Chromium): Promise<Browser> {
  const home = mkdtempSync(join(tmpdir(), 'millrace-browser-'))
  const child = spawn(command, [...args, `--user-data-dir=${home}`, 'about:blank'], {
    env: { ...process.env, ...env, HOME: home },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const end = async () => {
    child.kill('SIGKILL')
    await gone
    rmSync(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
  }
  try {
    const socket = await connect(await addressOf(child))
    const connection = speak(socket)
    return {
      open: () => openTab(connection),
      async [Symbol.asyncDispose]() {
        socket.close()
        await end()
      },
    }
  } catch (error) {
    await end()
    throw error
  }
}

/** Chromium writes it to its standard error once it listens. */
function addressOf(child: ReturnType<typeof spawn>): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    const fail = (why: string) => reject(new Error(`Chromium ${why}: ${said.slice(-2000)}`))
    const late = setTimeout(() => fail(`says nothing for ${startMs} ms`), startMs)
    child.once('error', reject)
    child.once('exit', (code) => fail(`ended (${code})`))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text
      const [, url] = /DevTools listening on (ws:\S+)/.exec(said) ?? []
      if (url === undefined) return
      clearTimeout(late)
      resolve(url)
    })
  })
}

function connect(url: string): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    socket.addEventListener('open', () => resolve(socket))
    socket.addEventListener('error', () => reject(new Error(`no connection to ${url}`)))
  })
}

interface Connection {
  send(method: string, params?: object, sessionId?: string): Promise<Record<string, unknown>>
  on(sessionId: string, listener: (method: string, params: Record<string, unknown>) => void): void
}

function speak(socket: WebSocket): Connection {
  let last = 0
  const waiting = new Map<number, PromiseWithResolvers<Record<string, unknown>>>()
  const listeners = new Map<string, (method: string, params: Record<string, unknown>) => void>()
  socket.addEventListener('message', ({ data }) => {
    const { id, sessionId = '', method, params = {}, result = {}, error } = JSON.parse(String(data)) as Message
    if (id === undefined) return listeners.get(sessionId)?.(method ?? '', params)
    if (error === undefined) waiting.get(id)?.resolve(result)
    else waiting.get(id)?.reject(new Error(error.message))
    waiting.delete(id)
  })
  socket.addEventListener('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('the browser is gone'))
  })
  return {
    send(method, params = {}, sessionId) {
      const id = ++last
      const answer = Promise.withResolvers<Record<string, unknown>>()
      waiting.set(id, answer)
      socket.send(JSON.stringify({ id, method, params, ...(sessionId !== undefined && { sessionId }) }))
      const late = setTimeout(() => answer.reject(new Error(`no answer to ${method}`)), answerMs)
      return answer.promise.finally(() => clearTimeout(late))
    },
    on: (sessionId, listener) => void listeners.set(sessionId, listener),
  }
}

async function openTab(connection: Connection): Promise<Tab> {
  const { targetId } = await connection.send('Target.createTarget', { url: 'about:blank' })
  const { sessionId } = await connection.send('Target.attachToTarget', { targetId, flatten: true })
  const send = (method: string, params: object = {}) => connection.send(method, params, sessionId as string)
  const errors: string[] = []
  const requests: string[] = []
  let loaded = Promise.withResolvers<void>()
  connection.on(sessionId as string, (method, params) => {
    if (method === 'Page.loadEventFired') loaded.resolve()
    const known = complaint(method, params)
    if (known !== null) errors.push(known)
    if (method === 'Network.requestWillBeSent') requests.push((params as { request: { url: string } }).request.url)
  })
  // As if its window were in front, whatever else is open.
  await send('Emulation.setFocusEmulationEnabled', { enabled: true })
  for (const domain of ['Page', 'Runtime', 'Log', 'Network', 'Accessibility']) await send(`${domain}.enable`)

  return {
    errors,
    requests,
    send,
    async look({ width, height, mobile, theme }) {
      await send('Emulation.setDeviceMetricsOverride', { width, height, mobile, deviceScaleFactor: mobile ? 2 : 1 })
      await send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: theme }] })
    },
    async goto(url) {
      loaded = Promise.withResolvers()
      const { errorText } = await send('Page.navigate', { url })
      if (errorText !== undefined) throw new Error(`${url}: ${String(errorText)}`)
      await loaded.promise
    },
    async evaluate<T>(expression: string): Promise<T> {
      const answer = await send('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true })
      const { result, exceptionDetails } = answer as {
        result: { value: T }
        exceptionDetails?: { text: string; exception?: { description?: string } }
      }
      if (exceptionDetails === undefined) return result.value
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
    },
    async press(key, { shift = false } = {}) {
      const event = {
        key: key === 'Space' ? ' ' : key,
        code: key,
        windowsVirtualKeyCode: keys[key],
        modifiers: shift ? 8 : 0,
        ...(key === 'Enter' && { text: '\r' }),
        ...(key === 'Space' && { text: ' ' }),
      }
      await send('Input.dispatchKeyEvent', { type: 'text' in event ? 'keyDown' : 'rawKeyDown', ...event })
      await send('Input.dispatchKeyEvent', { type: 'keyUp', ...event })
    },
    async click(x, y) {
      for (const type of ['mousePressed', 'mouseReleased'])
        await send('Input.dispatchMouseEvent', { type, x, y, button: 'left', clickCount: 1 })
    },
    async screenshot(heightMax = Number.POSITIVE_INFINITY) {
      const { cssContentSize } = (await send('Page.getLayoutMetrics')) as { cssContentSize: { height: number } }
      const clip = { ...cssContentSize, height: Math.min(cssContentSize.height, heightMax), scale: 1 }
      const { data } = await send('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true, clip })
      return Buffer.from(String(data), 'base64')
    },
    async close() {
      await connection.send('Target.closeTarget', { targetId })
    },
  }
}

function complaint(method: string, params: Record<string, unknown>): string | null {
  if (method === 'Runtime.exceptionThrown') return JSON.stringify(params.exceptionDetails)
  if (method === 'Runtime.consoleAPICalled')
    return ['error', 'warning', 'assert'].includes(String(params.type)) ? JSON.stringify(params.args) : null
  if (method !== 'Log.entryAdded') return null
  const { level, text, url } = params.entry as { level: string; text: string; url?: string }
  return level === 'error' || level === 'warning' ? `${text} ${url ?? ''}` : null
}
