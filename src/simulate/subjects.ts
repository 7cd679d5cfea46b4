/** What the simulated events are about, drawn from the seed: so many subjects of each domain, each a customer's and a tenant's. */
import { type Domain, domains } from './catalogue.ts'
import { createZipf, type Random } from './random.ts'

export interface Subject {
  readonly key: string
  readonly customer: string
  readonly tenant: string
  readonly tenantMember: string
  /** Decides on the partition. */
  readonly hash: number
}

const tenantNames = [
  ...['northwind', 'bluefibre', 'telamo', 'voxline', 'cirrus', 'halden', 'lumen-one', 'kestrel', 'ostrava-net'],
  ...['pacifica', 'quanta', 'rivermark', 'sable', 'tundra', 'umbra', 'valiant', 'westgate', 'xenia', 'yarrow'],
  'zephyr',
]
export const tenantName = (rank: number): string => tenantNames[rank] ?? `tenant-${rank + 1}`

const prefixes = { customer: 'cus', order: 'ord', payment: 'pay', invoice: 'inv', subscription: 'sub', usage: 'sub' }
/** Bounded, so that keys recur as they do in life: a subject of rank one is seen in every few hundred events of its domain. */
export const subjectsPerDomain = 8000

/** FNV-1a over the characters: subjects are ASCII. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}

export function createSubjects(random: Random, tenants: number, tenantSkew: number): Record<Domain, Subject[]> {
  const hex8 = () => random.bits().toString(16).padStart(8, '0')
  const rank = createZipf(tenants, tenantSkew)
  const make = (domain: Domain): Subject[] =>
    Array.from({ length: subjectsPerDomain }, () => {
      const key = `${prefixes[domain]}_${hex8()}`
      const tenant = tenantName(rank(random.unit()))
      return {
        key,
        customer: domain === 'customer' ? key : `cus_${hex8()}`,
        tenant,
        tenantMember: `"tenantid":"${tenant}",`,
        hash: hashOf(key),
      }
    })
  return Object.fromEntries(domains.map((domain) => [domain, make(domain)])) as Record<Domain, Subject[]>
}

/** Of each domain the subjects whose partition is one of the first ones. */
export function hotSubjects(
  subjects: Record<Domain, Subject[]>,
  partitions: number,
  hot: number,
): Record<Domain, Subject[]> {
  return Object.fromEntries(
    domains.map((domain) => [domain, subjects[domain].filter(({ hash }) => hash % partitions < hot)]),
  ) as Record<Domain, Subject[]>
}
