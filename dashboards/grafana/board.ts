/** Grafana's JSON from few words: panels in rows from left to right, their places computed, every query under the consumer that was chosen. */

export type Unit = 's' | 'percentunit' | 'bytes' | 'short' | 'ops' | 'Bps' | 'none' | 'dateTimeAsIso'

/** One query: what to ask, and what the line is called. */
export type Query = readonly [expr: string, legend: string]

export interface Panel {
  readonly title: string
  readonly kind: 'lines' | 'stacked' | 'figure' | 'table' | 'text'
  readonly queries: readonly Query[]
  readonly unit: Unit
  /** Of 24 columns; left out: an equal share of the row. */
  readonly width?: number
  readonly help?: string
  /** Fixed colour of its lines. */
  readonly colour?: string
  /** From this value on it is yellow, and from that on red. */
  readonly limits?: readonly [yellow: number, red: number]
  readonly max?: number
}

export interface Row {
  readonly height: number
  readonly panels: readonly Panel[]
}

export interface Board {
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly rows: readonly Row[]
}

type Kinds = { [K in Panel['kind']]: string }
const types: Kinds = { lines: 'timeseries', stacked: 'timeseries', figure: 'stat', table: 'table', text: 'text' }
const source = { type: 'prometheus', uid: '$' + '{datasource}' }
const columns = 24

type More = Partial<Omit<Panel, 'title' | 'queries' | 'unit' | 'kind'>>
const panel =
  (kind: Panel['kind']) =>
  (title: string, unit: Unit, queries: readonly Query[], more: More = {}): Panel => ({
    title,
    kind,
    queries,
    unit,
    ...more,
  })
export const lines = panel('lines')
export const stacked = panel('stacked')
export const figure = panel('figure')
export const table = panel('table')
export const heading = (title: string, help: string): Panel => ({
  title,
  kind: 'text',
  queries: [],
  unit: 'none',
  help,
})
export const row = (height: number, ...panels: Panel[]): Row => ({ height, panels })

export function boardJson(board: Board): string {
  const panels: object[] = []
  let y = 0
  for (const { height, panels: all } of board.rows) {
    let x = 0
    const given = all.reduce((sum, { width }) => sum + (width ?? 0), 0)
    let open = all.filter(({ width }) => width === undefined).length
    let free = columns - given
    for (const one of all) {
      const width = one.width ?? Math.ceil(free / open)
      if (one.width === undefined) {
        free -= width
        open -= 1
      }
      panels.push({ id: panels.length + 1, gridPos: { x, y, w: width, h: height }, ...panelJson(one) })
      x += width
    }
    y += height
  }
  const { uid, title, description } = board
  const json = {
    uid,
    title,
    description,
    tags: ['millrace'],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    refresh: '5s',
    time: { from: 'now-15m', to: 'now' },
    timezone: 'browser',
    links: [
      { type: 'dashboards', tags: ['millrace'], asDropdown: false, includeVars: true, keepTime: true, title: '' },
    ],
    templating: { list: variables },
    annotations: { list: [alertAnnotation] },
    panels,
  }
  return `${JSON.stringify(json, null, 2)}\n`
}

const variables = [
  { name: 'datasource', type: 'datasource', query: 'prometheus', label: 'data', hide: 0 },
  {
    name: 'consumer',
    type: 'query',
    label: 'consumer',
    datasource: source,
    query: { query: 'label_values(up{job="millrace"}, consumer)', refId: 'consumer' },
    refresh: 2,
    includeAll: true,
    allValue: '.*',
    current: { text: 'All', value: '$__all' },
  },
]

const alertAnnotation = {
  name: 'alerts',
  datasource: source,
  enable: true,
  iconColor: 'red',
  expr: 'ALERTS{alertstate="firing"}',
  titleFormat: '{{alertname}}',
  textFormat: '{{severity}} {{instance}}',
}

function panelJson({ title, kind, queries, unit, help, colour, limits, max }: Panel): object {
  const description = help === undefined ? {} : { description: help }
  if (kind === 'text') {
    return { type: types.text, title: '', options: { mode: 'markdown', content: `## ${title}\n${help ?? ''}` } }
  }
  const isTable = kind === 'table'
  const isLines = kind === 'lines' || kind === 'stacked'
  const targets = queries.map(([expr, legend], index) => ({
    refId: String.fromCharCode(65 + index),
    datasource: source,
    expr,
    legendFormat: legend,
    ...(isTable && { format: 'table', instant: true, range: false }),
    ...(kind === 'figure' && { instant: true, range: false }),
  }))
  const steps = [
    { color: 'green', value: null },
    ...(limits === undefined
      ? []
      : [
          { color: 'yellow', value: limits[0] },
          { color: 'red', value: limits[1] },
        ]),
  ]
  const defaults = {
    unit,
    ...(isLines && { min: 0 }),
    ...(max !== undefined && { max }),
    ...(colour !== undefined && { color: { mode: 'fixed', fixedColor: colour } }),
    thresholds: { mode: 'absolute', steps },
    ...(isLines && {
      custom: {
        fillOpacity: kind === 'stacked' ? 60 : 10,
        lineWidth: 1,
        showPoints: 'never',
        stacking: { mode: kind === 'stacked' ? 'normal' : 'none', group: 'A' },
        ...(limits !== undefined && { thresholdsStyle: { mode: 'line' } }),
      },
    }),
  }
  const legend = { showLegend: queries.length > 1 || /{{/.test(queries[0]?.[1] ?? ''), placement: 'bottom' }
  const options = isLines
    ? { legend: { ...legend, displayMode: 'list' }, tooltip: { mode: 'multi', sort: 'desc' } }
    : kind === 'figure'
      ? { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: limits === undefined ? 'none' : 'background' }
      : {}
  const hidden = { excludeByName: { Time: true, __name__: true, job: true } }
  return {
    type: types[kind],
    title,
    ...description,
    datasource: source,
    fieldConfig: { defaults, overrides: [] },
    targets,
    options,
    ...(isTable && {
      transformations: [
        { id: 'merge', options: {} },
        { id: 'organize', options: hidden },
      ],
    }),
  }
}
