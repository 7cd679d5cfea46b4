/** Reads EXPLAIN (ANALYZE): which partitions a query touched, how, and through which index. */
import type { Session } from '../../src/schema/sql.ts'

export interface Scan {
  table: string
  /** The index, or undefined where the table was read from end to end. */
  index: string | undefined
  /** What the index was asked. */
  condition: string
  /** Descents of the index tree: more than one is a skip scan or an IN list. */
  searches: number
  executed: boolean
  rows: number
}

export interface Plan {
  /** One for each partition that planning left in; those never executed were pruned or not needed at run time. */
  scans: Scan[]
  /** Partitions removed as the executor started. */
  removed: number
  planningMs: number
  executionMs: number
}

interface Node {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Index Cond'?: string
  'Index Searches'?: number
  'Actual Loops': number
  'Actual Rows': number
  'Subplans Removed'?: number
  Plans?: Node[]
}

export async function explain(session: Session, query: string): Promise<Plan> {
  const { rows } = await session.query(`explain (analyze, format json) ${query}`)
  const top = rows[0]['QUERY PLAN'][0]
  const plan: Plan = { scans: [], removed: 0, planningMs: top['Planning Time'], executionMs: top['Execution Time'] }
  walk(top.Plan, plan)
  return plan
}

function walk(node: Node, plan: Plan): void {
  plan.removed += node['Subplans Removed'] ?? 0
  if (node['Relation Name'] === undefined) {
    for (const child of node.Plans ?? []) walk(child, plan)
    return
  }
  const source = indexOf(node)
  plan.scans.push({
    table: node['Relation Name'],
    index: source?.['Index Name'],
    condition: source?.['Index Cond'] ?? '',
    searches: source?.['Index Searches'] ?? 0,
    executed: node['Actual Loops'] > 0,
    rows: node['Actual Rows'] * node['Actual Loops'],
  })
}

/** The node that names the index: the scan itself, or what lies under a bitmap heap scan. */
function indexOf(node: Node): Node | undefined {
  if (node['Index Name'] !== undefined) return node
  return node.Plans?.map(indexOf).find((found) => found !== undefined)
}
