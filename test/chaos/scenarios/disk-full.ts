/** The disk of PostgreSQL is full: that of the tables, where statements are refused, or that of the WAL, where the whole server goes down. */
import assert from 'node:assert/strict'
import { readdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../e2e/until.ts'
import { putOnSmallDisk, type SmallDisk, whyNoMount } from '../ground/small-disk.ts'
import { type LawWatch, watchLaw } from '../law.ts'
import type { Scenario, World } from '../scenario.ts'
import { noneEnded, notReadyMsMax, readyAfterMs } from './postgres.ts'

const disks = new WeakMap<World, { readonly data: SmallDisk; readonly wal: SmallDisk; readonly law: LawWatch }>()
/** A disk is full when nothing is stored any more; what was reserved before goes on for a while. */
const fillMsMax = 60_000
const fullMs = 10_000
/** Of what is stored: copied by an attempt that met the end of the disk. */
const deadRowsMax = 50_000

export const diskFull: Scenario = {
  name: 'disk-full',
  what: "PostgreSQL's disk is full for 10 s, that of the tables and that of the WAL in turn, then freed; the fleet is not ready and does not end (needs root and mount)",
  rounds: 2,
  recoveryMsMax: 30_000,
  needs: {},
  notHere: whyNoMount,
  async prepare(world) {
    const { postgres } = world.ground
    const { data: folder } = postgres.primary
    await postgres.kill('SIGINT')
    const data = await putOnSmallDisk(folder)
    const wal = await putOnSmallDisk(join(folder, 'pg_wal'))
    await postgres.start()
    disks.set(world, { data, wal, law: watchLaw(world) })
    world.defer(async () => {
      await postgres.kill('SIGKILL')
      await wal.putBack()
      await data.putBack()
      await postgres.start()
    })
  },
  async round(world, round) {
    const { data, wal, law } = disks.get(world) as NonNullable<ReturnType<typeof disks.get>>
    const { postgres } = world.ground
    const what = round % 2 === 1 ? 'tables' : 'WAL'
    const disk = what === 'tables' ? data : wal
    if (disk === wal) await dropSegmentsAhead(world)
    await disk.fill()
    let readyMs: number
    try {
      await untilStill(world)
      readyMs = await readyAfterMs(503, world.replicas, notReadyMsMax)
      await world.sleep(fullMs)
    } finally {
      await disk.free()
    }
    const wentDown = !postgres.primary.isAlive
    if (wentDown) await postgres.start()
    noneEnded(world)
    law.claim()
    const dead = await deadRows(world)
    assert.ok(dead <= deadRowsMax, `${dead} dead rows were left behind`)
    return `the disk of the ${what} was full${wentDown ? ', and the server ended' : ''}; not ready after ${(readyMs / 1000).toFixed(1)} s, ${dead} dead rows`
  },
  async after(world) {
    disks.get(world)?.law.claim()
  },
}

/** What the server has kept of old WAL to write on: with a gigabyte of it a full disk is not noticed for minutes. The next segment may be open already. */
async function dropSegmentsAhead(world: World): Promise<void> {
  const folder = join(world.ground.postgres.primary.data, 'pg_wal')
  const [current] = await world.sql<{ name: string }>('SELECT pg_walfile_name(pg_current_wal_insert_lsn()) AS name')
  const ahead = readdirSync(folder).filter((name) => /^[0-9A-F]{24}$/.test(name) && name > (current?.name ?? 'F'))
  for (const name of ahead.sort().slice(1)) unlinkSync(join(folder, name))
}

/** Nothing was stored for a second. */
async function untilStill(world: World): Promise<void> {
  let before = -1
  await until('storing to come to an end', fillMsMax, async () => {
    const stored = await world.stored().catch(() => before)
    if (stored === before) return true
    before = stored
    await world.sleep(1000)
    throw new Error(`${stored} records stored`)
  })
}

async function deadRows(world: World): Promise<number> {
  const [row] = await until('PostgreSQL to answer', 30_000, () =>
    world.sql<{ dead: number }>(
      "SELECT coalesce(sum(n_dead_tup), 0)::int AS dead FROM pg_stat_user_tables WHERE relname LIKE 'cloud_events%'",
    ),
  )
  return row?.dead ?? 0
}
