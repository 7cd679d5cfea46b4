/** What of the page is drawn anew each second, from one picture. Pure; whatever came from outside is escaped. */
import { count } from '../core/count.ts'
import { type Room, rooms as roomNames } from '../core/marks.ts'
import { rejectCodes } from '../core/verdict.ts'
import { clockText, escapeText, renderChart, type Series } from './chart.ts'
import { heatLimits, heatOf, heatSteps, roomLetters, worstOf } from './partitions.ts'
import type { PartitionPicture, Picture, ReplicaPicture, RoomPicture } from './picture.ts'
import { brief, bytes, clock, milliseconds } from './style.ts'
import { bottleneckText, helpText, judge, lagMood, narrowest } from './verdict.ts'

export function renderLive(picture: Picture): string {
  const title = `${lagText(picture.lagSeconds)} behind · ${picture.consumer}`
  return `<main id="live" data-title="${escapeText(title)}">${[
    verdict(picture),
    rooms(picture),
    figures(picture),
    charts(picture),
    partitions(picture),
    replicas(picture),
    rejects(picture),
    events(picture),
  ].join('\n')}</main>`
}

const lagText = (seconds: number) => (seconds === 0 ? '0 s' : milliseconds(seconds * 1000))
const percent = (share: number) => `${Math.round(share * 100)} %`
const cells = (values: readonly string[]) => values.map((value) => `<td>${escapeText(value)}</td>`).join('')
const heads = (names: readonly string[]) => names.map((name) => `<th scope="col">${escapeText(name)}</th>`).join('')

/** A figure and what it is; a list of them is a list of terms. */
const figure = (name: string, value: string, mood = '') =>
  `<div${mood === '' ? '' : ` class="${mood}"`}><dt>${escapeText(name)}</dt><dd>${escapeText(value)}</dd></div>`

function verdict(picture: Picture): string {
  const { mood, text, troubles } = judge(picture)
  const { replicas, partitions, elapsedMs, phase, addresses } = picture
  const others = troubles.slice(1)
  const facts = [
    phase,
    clock(elapsedMs),
    `${replicas.length} ${replicas.length === 1 ? 'replica' : 'replicas'}`,
    `${partitions.length} partitions`,
    ...addresses.map(([name, address]) => `${name} ${address}`),
  ]
  return `<section class="verdict ${mood}" aria-label="Verdict">
<p role="status"><strong>${escapeText(text)}</strong></p>
${others.length === 0 ? '' : `<ul>${others.map((one) => `<li>${escapeText(one)}</li>`).join('')}</ul>`}
<p class="facts">${facts.map((fact) => `<span>${escapeText(fact)}</span>`).join(' ')}</p>
</section>`
}

function rooms(picture: Picture): string {
  const help = helpText(picture)
  const narrow = narrowest(picture)
  const badgeOf = (room: Room) => (narrow?.room !== room ? null : narrow.isLimit ? 'bottleneck' : 'busiest')
  return `<section aria-labelledby="h-rooms"><h2 id="h-rooms">Rooms</h2>
<ol class="rooms">${picture.rooms.map((room) => roomCard(room, badgeOf(room.room))).join('')}</ol>
<p class="says">${escapeText(bottleneckText(picture))}${help === '' ? '' : `; ${escapeText(help)}`}.</p></section>`
}

function roomCard({ room, perSecond, times, lagRecords }: RoomPicture, badge: string | null): string {
  const spent =
    times === null
      ? ''
      : `<div class="bar" role="img" aria-label="${escapeText(`works ${percent(times.working)} of its time, waits for input ${percent(times.input)}, for the next room ${percent(times.output)}`)}"><i style="width:${width(times.working)}"></i><i class="output" style="width:${width(times.output)}"></i></div><p class="quiet">works ${percent(times.working)}${times.output >= 0.005 ? `, held up ${percent(times.output)}` : ''}</p>`
  return `<li class="card ${room}"><h3>${room}${badge === null ? '' : ` <span class="badge${badge === 'busiest' ? ' warn' : ''}">${badge}</span>`}</h3><p class="rate"><b>${brief(perSecond)}</b>/s</p>${spent}<p class="quiet">${brief(lagRecords)} before it</p></li>`
}

const width = (share: number) => `${Math.round(share * 1000) / 10}%`

function figures(picture: Picture): string {
  const { stored, published, publishes, totals, load, restarts, lagSeconds } = picture
  const mood = lagMood(lagSeconds)
  const trouble = (value: number) => (value > 0 ? 'warn' : '')
  const quantiles = ({ p50, p95, p99 }: Picture['stored']) => [p50, p95, p99].map(milliseconds).join(' · ')
  const now = [
    figure('oldest that waits', lagText(lagSeconds), mood === 'good' ? '' : mood),
    figure('records that wait', count(picture.lagRecords)),
    figure('stored', `${brief(picture.storedPerSecond)}/s`),
    ...(publishes ? [figure('published', `${brief(picture.publishedPerSecond)}/s`)] : []),
    figure('to stored, p50 · p95 · p99', quantiles(stored), 'two'),
    ...(publishes ? [figure('to published, p50 · p95 · p99', quantiles(published), 'two')] : []),
    figure('in flight', `${bytes(picture.bytesInFlight)} of ${bytes(picture.inFlightBytesMax)}`),
    ...(load === null ? [] : [figure('sent', `${brief(load.perSecond)}/s`)]),
  ]
  const since = [
    ...(load === null ? [] : [figure('produced', count(load.produced))]),
    figure('rows', count(totals.rows)),
    ...(publishes ? [figure('entries', count(totals.entries))] : []),
    figure('duplicates', count(totals.duplicates)),
    figure('rejects', count(totals.rejects)),
    figure('rebalances', count(totals.rebalances)),
    figure('restarts', count(restarts), trouble(restarts)),
    figure('fenced', count(totals.fenced), trouble(totals.fenced)),
    figure('retries', count(totals.retries), trouble(totals.retries)),
  ]
  return `<section aria-labelledby="h-now"><h2 id="h-now">Now</h2><dl class="figures">${now.join('')}</dl></section>
<section aria-labelledby="h-since"><h2 id="h-since">Since the start</h2><dl class="figures small">${since.join('')}</dl></section>`
}

/** Minutes that a chart shows; the histories hold more. */
const shownSeconds = 300

function charts({ lagHistory, storedHistory, p99History }: Picture): string {
  const ago = (seconds: number) => (seconds >= 0 ? 'now' : `${clockText(-seconds)} ago`)
  const chart = (title: string, history: readonly number[], topMin: number, format: (value: number) => string) => {
    const values = history.slice(-shownSeconds)
    const series: Series[] = [{ name: title, colour: 1, values }]
    const told =
      values.length === 0
        ? 'nothing yet'
        : `now ${format(values.at(-1) as number)}, at most ${format(Math.max(...values))}`
    const label = `${title}, last ${clockText(values.length)}: ${told}`
    const times = values.map((_, index) => index - values.length + 1)
    return `<figure class="card"><figcaption>${escapeText(title)}<small>${escapeText(told)}</small></figcaption>${renderChart({ title: label, times, series, topMin, format, time: ago, moments: false })}</figure>`
  }
  return `<section aria-labelledby="h-minutes"><h2 id="h-minutes">The last minutes</h2><div class="charts">${[
    chart('Lag: age of the oldest that waits', lagHistory, 1, (value) => lagText(value)),
    chart('Stored per second', storedHistory, 10, brief),
    chart('To stored, p99', p99History, 10, milliseconds),
  ].join('')}</div></section>`
}

/** A page is for looking at. */
const cellsMax = 1000

function partitions({ partitions: all }: Picture): string {
  const shown = all.length <= cellsMax ? all : worstOf(all).slice(0, cellsMax)
  const severalTopics = new Set(all.map(({ topic }) => topic)).size > 1
  const choices = roomNames.map(
    (room) =>
      `<label><input type="radio" name="show" id="show-${room}" value="${room}"${room === 'persist' ? ' checked=""' : ''}/> ${room}</label>`,
  )
  const legend = Array.from({ length: heatSteps }, (_, step) => {
    const limit = heatLimits[step]
    const text = limit === undefined ? `from ${brief(heatLimits.at(-1) as number)}` : `under ${brief(limit)}`
    return `<li><i class="h${step}"></i>${text}</li>`
  })
  const less = shown.length < all.length ? ` The ${count(cellsMax)} furthest behind of ${count(all.length)}.` : ''
  return `<section class="partitions" aria-labelledby="h-partitions"><h2 id="h-partitions">Partitions</h2>
<p class="quiet">How many records each has before the room.${less} Arrow keys go from one to the next.</p>
<fieldset><legend>Room</legend>${choices.join('')}</fieldset>
<ul class="heat" id="heat" role="listbox" tabindex="0" aria-label="Partitions">${shown.map((one) => partitionCell(one, severalTopics)).join('')}</ul>
<div class="detail" id="detail" data-kept=""><p class="quiet">Choose a partition to see its marks.</p></div>
<ul class="legend" aria-label="Records before the room">${legend.join('')}<li><i class="stopped">!</i>stopped</li></ul></section>`
}

function partitionCell(one: PartitionPicture, severalTopics: boolean): string {
  const { topic, partition, replica, behind, lagSeconds, marks, endOffset, stopped } = one
  const name = severalTopics ? `${topic} ${partition}` : `${partition}`
  const steps = roomNames.map((room) => `${roomLetters[room]}${heatOf(behind?.[room] ?? 0)}`).join(' ')
  const told = stopped === null ? `${count(behind?.persist ?? 0)} behind` : `stopped, ${stopped.code}`
  const data = {
    replica,
    marks: marks === null ? '' : roomNames.map((room) => marks[room]).join(' '),
    end: endOffset === null ? '' : `${endOffset}`,
    lag: lagSeconds === null ? '' : lagText(lagSeconds),
    why: stopped === null ? '' : `${stopped.code}: ${stopped.reason}`,
  }
  const attributes = Object.entries(data)
    .filter(([, value]) => value !== '')
    .map(([key, value]) => ` data-${key}="${escapeText(value)}"`)
    .join('')
  return `<li role="option" id="p-${escapeText(encodeURIComponent(topic.toWellFormed()))}-${partition}" class="${steps}${stopped === null ? '' : ' stopped'}" aria-selected="false" aria-label="${escapeText(`${name}: ${told}`)}"${attributes}>${partition}</li>`
}

function replicas({ replicas: all, partitions: everything }: Picture): string {
  const rows = all.map((replica) =>
    replicaRow(
      replica,
      everything.filter((one) => one.replica === replica.name),
    ),
  )
  return `<section aria-labelledby="h-replicas"><h2 id="h-replicas">Replicas</h2><div class="wide" tabindex="0" role="region" aria-labelledby="h-replicas"><table>
<thead><tr>${heads(['replica', 'lag', 'oldest', 'stored/s', 'CPU', 'memory', 'restarts', 'partitions'])}</tr></thead><tbody>${rows.join('')}</tbody></table></div></section>`
}

function replicaRow(replica: ReplicaPicture, carried: readonly PartitionPicture[]): string {
  const { name, state, adminUrl, lagRecords, lagSeconds, cpuShare, residentBytes, storedPerSecond, restarts } = replica
  const shown = escapeText(name)
  const link =
    adminUrl !== null && /^https?:\/\//.test(adminUrl) ? `<a href="${escapeText(adminUrl)}/">${shown}</a>` : shown
  const values = [
    lagRecords === null ? '-' : count(lagRecords),
    lagSeconds === null ? '-' : lagText(lagSeconds),
    brief(storedPerSecond),
    cpuShare === null ? '-' : percent(cpuShare),
    residentBytes === null ? '-' : bytes(residentBytes),
    count(restarts),
  ]
  return `<tr><th scope="row">${link}${state === null ? '' : ` <span class="badge warn">${escapeText(state)}</span>`}</th>${cells(values)}<td class="list">${escapeText(`${replica.partitions}`)}${carried.length === 0 ? '' : `: <small>${escapeText(ranges(carried.map(({ partition }) => partition)))}</small>`}</td></tr>`
}

const rangesMax = 40

/** 0-3, 7, 9-11. What is dealt out in turns is no range, and long. */
export function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = []
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last !== undefined && last[1] === number - 1) last[1] = number
    else runs.push([number, number])
  }
  const named = runs.slice(0, rangesMax).map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`))
  const more = runs.slice(rangesMax).reduce((sum, [from, to]) => sum + to - from + 1, 0)
  return more > 0 ? `${named.join(', ')} and ${more} more` : named.join(', ')
}

function rejects({ rejectsByCode, totals }: Picture): string {
  const known = new Map<string, string>(Object.entries(rejectCodes))
  const rows = Object.entries(rejectsByCode)
    .filter(([, value]) => value > 0)
    .sort(([, a], [, b]) => b - a)
    .map(
      ([code, value]) =>
        `<tr><th scope="row"><code>${escapeText(code)}</code></th><td>${count(value)}</td><td class="text">${escapeText(known.get(code) ?? '')}</td></tr>`,
    )
  const share = totals.rows + totals.rejects > 0 ? (100 * totals.rejects) / (totals.rows + totals.rejects) : 0
  const body =
    rows.length === 0
      ? '<p class="quiet">None.</p>'
      : `<p class="quiet">${share.toFixed(share < 1 ? 3 : 1)} % of what was stored. <code>millrace rejects list</code> shows them.</p><div class="wide" tabindex="0" role="region" aria-labelledby="h-rejects"><table><thead><tr>${heads(['reason', 'records', 'what it says'])}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`
  return `<section aria-labelledby="h-rejects"><h2 id="h-rejects">Rejects</h2>${body}</section>`
}

function events({ events: all }: Picture): string {
  if (all.length === 0) return ''
  const rows = all
    .slice(-20)
    .toReversed()
    .map(({ elapsedMs, text }) => `<li><time>${clock(elapsedMs)}</time> ${escapeText(text)}</li>`)
  return `<section aria-labelledby="h-events"><h2 id="h-events">What happened</h2><ul class="events">${rows.join('')}</ul></section>`
}
