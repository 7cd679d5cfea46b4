/** The end of a command of the tests that has failed: what went wrong, for people; answers the exit code. */
import { explain, FatalError } from '../src/core/errors.ts'

export function complain(error: unknown): 1 | 2 {
  if (!(error instanceof FatalError)) console.error(error)
  process.stderr.write(`millrace: ${explain(error)}\n`)
  return error instanceof FatalError && error.code === 'USAGE' ? 2 : 1
}
