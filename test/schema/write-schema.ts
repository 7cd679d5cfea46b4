/** `npm run schema`: writes migrations/schema.sql anew from a fresh database. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { dumpSchema } from '../../src/schema/dump.ts'
import { migrationsDir } from '../../src/schema/migrate.ts'
import { useServer } from './database.ts'

const server = useServer()

test('write migrations/schema.sql', async () => {
  const session = await (await server.database()).connect()
  await writeFile(join(migrationsDir, 'schema.sql'), await dumpSchema(session))
})
