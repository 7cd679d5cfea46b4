/** The least event there is, in either mode. */
import type { HeaderValue } from '../../src/core/record.ts'

export const required = { specversion: '1.0', id: 'a', source: '/s', type: 't' }
export const json = (more: object = {}) => JSON.stringify({ ...required, ...more })

export const ce = (more: Readonly<Record<string, HeaderValue>> = {}): Record<string, HeaderValue> =>
  Object.fromEntries(Object.entries({ ...required, ...more }).map(([name, value]) => [`ce_${name}`, value]))
export const ceJson = (more: Readonly<Record<string, HeaderValue>> = {}) => ({
  'content-type': 'application/json',
  ...ce(more),
})
