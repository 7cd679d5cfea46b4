/**
 * Where the local Alertmanager sends its alerts: a webhook on the loopback address. Each alert is told once when it fires and once when it is over,
 * though several receivers get it and Alertmanager repeats itself.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { bodyOf } from '../process/serve-answers.ts'

export interface ReceivedAlert {
  readonly name: string
  readonly severity: string
  readonly team: string
  readonly firing: boolean
  readonly summary: string
  readonly runbook: string
  readonly labels: Readonly<Record<string, string>>
  /** Who was told first: the last part of the address. */
  readonly receiver: string
}

export interface AlertReceiver {
  readonly url: string
  close(): Promise<void>
}

/** As Alertmanager posts it. */
interface Message {
  readonly alerts?: readonly {
    readonly status: 'firing' | 'resolved'
    readonly fingerprint: string
    readonly labels: Readonly<Record<string, string>>
    readonly annotations: Readonly<Record<string, string>>
  }[]
}

const bytesMax = 1_000_000

export async function receiveAlerts(onAlert: (alert: ReceivedAlert) => void): Promise<AlertReceiver> {
  const firing = new Set<string>()

  function take(receiver: string, { alerts = [] }: Message): void {
    for (const { status, fingerprint, labels, annotations } of alerts) {
      const isFiring = status === 'firing'
      if (firing.has(fingerprint) === isFiring) continue
      if (isFiring) firing.add(fingerprint)
      else firing.delete(fingerprint)
      const { alertname: name = '', severity = '', team = '' } = labels
      const { summary = '', runbook = '' } = annotations
      onAlert({ name, severity, team, firing: isFiring, summary, runbook, labels, receiver })
    }
  }

  const server = createServer(async (request, response) => {
    try {
      const body = await bodyOf(request, bytesMax)
      if (body === null) throw new Error('too long')
      take(request.url?.split('/').at(-1) ?? '', JSON.parse(body) as Message)
      response.writeHead(204).end()
    } catch {
      response.writeHead(400).end()
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  server.unref()
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
