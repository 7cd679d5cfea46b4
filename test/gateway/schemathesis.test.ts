/**
 * Requests that Schemathesis makes of the document that the server serves, sent to it on real servers: no fault of the server, and every answer as the
 * document has it. The stream of a replay is left out: it has no end.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explain } from '../../src/core/errors.ts'
import { progressLines } from '../../src/stack/progress.ts'
import { run } from '../../src/stack/run.ts'
import { root, useStack } from '../e2e/harness.ts'
import { installSchemathesis } from './install-schemathesis.ts'
import { prefix, startServing, token } from './serving.ts'

let missing: string | false = false
const schemathesis = await installSchemathesis(
  root,
  progressLines((text) => process.stderr.write(text), Date.now),
).catch((error: unknown) => {
  // A machine without PyPI has no say about the server.
  missing = explain(error)
  return null
})
if (schemathesis === null) missing ||= 'there is no Python 3.10 with pip'
const servers = schemathesis === null ? null : useStack()

test('what Schemathesis can think of', {
  timeout: 600_000,
  skip: missing,
}, async (t) => {
  assert.ok(schemathesis !== null && servers !== null)
  const world = await servers.world(t)
  const replica = await world.replica()
  await world.load({ rate: 2000, events: 1000 }).done
  await world.untilDrained()
  await replica.stop()
  const serving = await startServing({ ...world.env, MILLRACE_GATEWAY_REPLAYS_MAX: '100' })
  t.after(() => serving.end('SIGKILL'))
  const seed = process.env.MILLRACE_TEST_SEED ?? String(Math.floor(Math.random() * 1e6))
  t.diagnostic(`MILLRACE_TEST_SEED=${seed}`)
  const { command, args, env } = schemathesis
  const ran = await run(
    command,
    [
      ...args,
      'run',
      `${serving.url}${prefix}/openapi.json`,
      '--header',
      `Authorization: Bearer ${token}`,
      '--checks',
      'not_a_server_error,content_type_conformance,response_schema_conformance',
      '--phases',
      'examples,coverage,fuzzing',
      '--max-examples',
      process.env.MILLRACE_SCHEMATHESIS_EXAMPLES ?? '30',
      '--exclude-path-regex',
      'progress$',
      '--request-timeout',
      '60',
      '--seed',
      seed,
    ],
    { env: { ...env, NO_COLOR: '1' }, cwd: world.stack.folder },
  )
  t.diagnostic(ran.out.split('\n').slice(-25).join('\n'))
  assert.equal(ran.code, 0, `${ran.out.slice(-8000)}\n${serving.log().slice(-4000)}`)
  // It still lives, and ends as it should with all that was begun.
  assert.equal((await serving.get('/replay')).status, 200)
  assert.equal(await serving.end('SIGTERM'), 0)
})
