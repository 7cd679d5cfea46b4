/**
 * What the schema's programs ask of a database connection: one session, one query at a time.
 * A `pg` client fits; a pool does not, since transactions here span queries.
 */
export interface Session {
  // biome-ignore lint/suspicious/noExplicitAny: rows have the shape of the query beside them
  query(text: string, values?: unknown[]): Promise<{ rows: any[] }>
}

/** A name as an identifier in SQL text. */
export const quoted = (name: string) => `"${name.replaceAll('"', '""')}"`

/** SQLSTATE of a server's error; undefined for anything else. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) ? code : undefined
}

/**
 * Runs `work` in a transaction. The rollback's own failure is not reported: the connection is gone then, and the error
 * that led there says more.
 */
export async function transaction<T>(session: Session, work: () => Promise<T>): Promise<T> {
  await session.query('begin')
  try {
    const result = await work()
    await session.query('commit')
    return result
  } catch (error) {
    await session.query('rollback').catch(() => {})
    throw error
  }
}
