import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { aheadDays, dayOf } from '../../src/core/day.ts'
import { migrationsDir, requireSchema, schemaState } from '../../src/schema/migrate.ts'
import { ensurePartitions } from '../../src/schema/partitions.ts'
import { noSignal, useServer } from './database.ts'

const server = useServer()
const at = Date.parse('2026-11-21T12:00:00Z')
const denied = { code: '42501' }

test('the fleet role can do the work of a lane and nothing beyond', async () => {
  const session = await (await server.database()).connect()
  await ensurePartitions(session, 'cloud_events', [dayOf(at)], { signal: noSignal })
  const roles = await readFile(join(migrationsDir, 'roles.sql'), 'utf8')
  await session.query(roles)
  await session.query(roles)
  await session.query('set role millrace_fleet')

  requireSchema(await schemaState(session))
  await ensurePartitions(session, 'cloud_events', aheadDays(at, { behind: 0, ahead: 2 }), { signal: noSignal })
  await session.query(
    `insert into ledger (consumer, topic, partition, start_offset, next_offset) values ('c', 't', 0, 0, 0)`,
  )
  for (const [index, day] of ['2026_11_21', '2026_11_23'].entries()) {
    await session.query(`begin;
      call millrace_advance('c', 't', '{0}', '{${index}}', '{${index + 1}}', '{1}', '{0}', '{0}', '{0}', null, null);
      insert into cloud_events_${day} (id, event_time, source, event_id, type, kafka_topic, kafka_partition, kafka_offset, kafka_time)
        select millrace_event_id(t, 's', 'x'), t, 's', 'x', 't', 'k', 0, ${index}, now()
        from (select timestamptz '${day.replaceAll('_', '-')} 12:00Z' as t) d;
      insert into rejects (consumer, topic, partition, kafka_offset, kafka_time, code, reason, decoder)
        values ('c', 't', 0, ${index}, now(), 'x', 'x', 'x');
      create temporary table stage (like cloud_events) on commit drop;
      commit`)
  }
  assert.equal((await session.query('select count(*)::integer as n from cloud_events')).rows[0].n, 2)

  for (const query of [
    'delete from cloud_events',
    'update cloud_events set source = $$s$$',
    'update cloud_events_2026_11_23 set source = $$s$$',
    'truncate cloud_events_2026_11_23',
    'drop table cloud_events_2026_11_23',
    'delete from ledger',
    'delete from rejects',
    'update rejects set reason = $$r$$',
    `insert into audit (actor, action, target) values ('a', 'b', 'c')`,
    'create table mine (n integer)',
    'insert into millrace_migrations (id, name, breaking, checksum) values (9, $$x$$, false, $$x$$)',
  ]) {
    await assert.rejects(session.query(query), denied, query)
  }
})

test('the operator role judges rejects, moves the ledger, makes days, and cannot cover its tracks', async () => {
  const session = await (await server.database()).connect()
  await session.query(await readFile(join(migrationsDir, 'roles.sql'), 'utf8'))
  await session.query(`insert into rejects (consumer, topic, partition, kafka_offset, kafka_time, code, reason, decoder)
    values ('c', 't', 0, 1, now(), 'x', 'x', 'x')`)
  await session.query('set role millrace_operator')
  await session.query(`update rejects set state = 'discarded', state_at = now() where id = 1`)
  await session.query(
    `insert into ledger (consumer, topic, partition, start_offset, next_offset) values ('c', 't', 0, 0, 0)`,
  )
  await session.query('update ledger set next_offset = 2')
  await session.query(`insert into audit (actor, action, target) values ('a', 'b', 'c') returning id`)
  await session.query(`insert into replays (id, target, description, plan, actor) values ('r', 't', '{}', '{}', 'a')`)
  await session.query(`update replays set state = 'done', saved = '{}'`)
  await ensurePartitions(session, 'cloud_events', [dayOf(at)], { signal: noSignal })
  await session.query(`insert into state_snapshots (events_table, reducer, subject, hash, at, events, counts, state, made_by)
    values ('cloud_events', 'order', 'ord_1', 'h', now(), 0, '{}', 'null', 'a') on conflict do nothing`)
  await session.query('delete from state_snapshots')
  await session.query(
    `insert into saved_positions (consumer, topic, name, actor, source, positions) values ('c', 't', 'n', 'a', 'ledger', '{}')`,
  )
  await session.query('delete from saved_positions')
  await session.query(`insert into gateway_jobs (id, description, wanted) values ('r', '{}', 'running')`)
  await session.query(`insert into gateway_requests (key, request_hash) values ('k', 'h')`)
  await session.query(`update gateway_requests set status = 201, body = '{}'`)
  await session.query('delete from gateway_requests')
  await session.query(`update gateway_jobs set wanted = 'paused'`)
  await session.query('delete from gateway_jobs')
  for (const query of [
    `update saved_positions set positions = '{}'`,
    `update rejects set value = 'x'`,
    'delete from rejects',
    'delete from ledger',
    'delete from audit',
    'delete from replays',
    `update audit set actor = 'nobody'`,
    'insert into cloud_events select * from cloud_events',
    `call millrace_advance('c', 't', '{0}', '{0}', '{0}', '{1}', '{0}', '{0}', '{0}', null, null)`,
    'drop table cloud_events_2026_11_21',
  ]) {
    await assert.rejects(session.query(query), denied, query)
  }
})

test('the reader role sees events and the ledger, and changes nothing', async () => {
  const session = await (await server.database()).connect()
  await session.query(await readFile(join(migrationsDir, 'roles.sql'), 'utf8'))
  await ensurePartitions(session, 'cloud_events', [dayOf(at)], { signal: noSignal })
  await session.query('set role millrace_reader')
  await session.query(
    `select * from cloud_events where id >= millrace_id_floor(now()) union all select * from cloud_events_2026_11_21`,
  )
  await session.query('select * from ledger')
  await session.query('select * from state_snapshots')
  for (const query of [
    'select * from rejects',
    'select * from saved_positions',
    'select * from gateway_jobs',
    'select * from gateway_requests',
    'delete from state_snapshots',
    `insert into ledger (consumer, topic, partition, start_offset, next_offset) values ('c', 't', 0, 0, 0)`,
    `select millrace_make_partition('cloud_events', '2026-11-22')`,
  ]) {
    await assert.rejects(session.query(query), denied, query)
  }
})
