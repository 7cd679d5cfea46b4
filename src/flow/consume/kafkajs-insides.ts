/** The way into the insides of kafkajs, for whoever replaces or borrows one of them: open only where it is the version whose insides are known. */
import { createRequire } from 'node:module'
import { assert } from '../../core/errors.ts'

/** It is pinned, and will see no other release. */
const known = '2.2.4'
const require = createRequire(import.meta.url)
const { version } = require('kafkajs/package.json') as { version: string }

/** Null: this is another kafkajs, and one has to do without. */
export const kafkajsInsides = (): NodeJS.Require | null => (version === known ? require : null)

/** Of a broker's prototype: how kafkajs sends a request that it does not know. */
export const sendSymbol = (broker: object): symbol | undefined =>
  Object.getOwnPropertySymbols(broker).find(({ description }) => description?.endsWith('sendRequest'))

/** For `what` there is no doing without. */
export function needKafkajsInsides(what: string): NodeJS.Require {
  assert(version === known, () => `kafkajs is ${version}; ${what} knows the insides of ${known} only`)
  return require
}
