import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ReceivedAlert, receiveAlerts } from '../../src/start/alert-receiver.ts'
import { sentence } from '../../src/start/observers.ts'

test('an alert is told once when it fires and once when it is over, whoever else is told and however often', async () => {
  const told: ReceivedAlert[] = []
  const receiver = await receiveAlerts((alert) => told.push(alert))
  const post = async (path: string, body: unknown) => {
    const response = await fetch(`${receiver.url}/${path}`, { method: 'POST', body: JSON.stringify(body) })
    return response.status
  }
  const alert = (status: string, instance: string) => ({
    status,
    fingerprint: instance,
    labels: { alertname: 'ReplicaDown', severity: 'critical', team: 'sre', instance },
    annotations: { summary: `${instance} does not answer`, runbook: 'docs/runbooks/replica-down.md' },
  })
  try {
    assert.equal(await post('oncall', { alerts: [alert('firing', 'a'), alert('firing', 'b')] }), 204)
    assert.equal(await post('sre', { alerts: [alert('firing', 'a'), alert('firing', 'b')] }), 204)
    assert.equal(await post('sre', { alerts: [alert('resolved', 'a'), alert('firing', 'b')] }), 204)
    assert.equal(await post('oncall', { alerts: [alert('resolved', 'a')] }), 204)
    assert.equal(await post('oncall', { alerts: [alert('firing', 'a')] }), 204)
    assert.deepEqual(
      told.map(({ labels, firing, receiver }) => [labels.instance, firing, receiver]),
      [
        ['a', true, 'oncall'],
        ['b', true, 'oncall'],
        ['a', false, 'sre'],
        ['a', true, 'oncall'],
      ],
    )
    assert.equal(sentence(told[0]!), 'alert ReplicaDown (critical): a does not answer; docs/runbooks/replica-down.md')
    assert.equal(sentence(told[2]!), 'alert ReplicaDown is over')
    const broken = await fetch(receiver.url, { method: 'POST', body: '{' })
    assert.equal(broken.status, 400)
  } finally {
    await receiver.close()
  }
})
