// Runs in the page. Asks for the replays once a second while somebody looks, and changes only what has changed, so that what is written or focused stays.
const base = 'api/v1/event-replay/'
const askMs = 1000
const askHiddenMs = 10_000
const pageSize = 20
const byId = (id) => document.getElementById(id)
const remembered = 'millrace-token'
let token = sessionStorage.getItem(remembered) ?? ''
let shown = pageSize
let timer = 0

const labels = { redis: 'Stream', table: 'Table', kafka: 'Topic', webhook: 'URL', file: 'File' }
const hints = {
  redis: 'replay:mine',
  table: 'orders_again',
  kafka: 'events.again',
  webhook: 'https://',
  file: 'events.jsonl',
}
const names = { redis: 'stream', table: 'table', kafka: 'topic', webhook: 'url', file: 'path' }

async function ask(method, path, body, headers = {}) {
  const response = await fetch(`${base}${path}`, {
    method,
    cache: 'no-store',
    headers: {
      authorization: `Bearer ${token}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const answer = await response.json().catch(() => ({}))
  if (response.status === 401) enter(answer)
  if (response.ok) return answer
  const error = new Error(
    [answer.detail ?? `The server answers ${response.status}.`, answer.remedy].filter(Boolean).join(' '),
  )
  error.status = response.status
  throw error
}

function say(id, text) {
  byId(id).textContent = text
  byId(id).hidden = text === ''
}

function enter(problem) {
  token = ''
  sessionStorage.removeItem(remembered)
  if (problem?.detail) say('problem', problem.detail)
  show()
}

function show() {
  const isIn = token !== ''
  byId('enter').hidden = isIn
  byId('inside').hidden = !isIn
  byId('leave').hidden = !isIn
  if (isIn) void look()
  else byId('token').focus()
}

const count = (number) => Math.round(number).toLocaleString('en')
const seconds = (ms) => (ms < 90_000 ? `${Math.ceil(ms / 1000)} s` : `${Math.ceil(ms / 60_000)} min`)

function figures({ state, events, perSecond, at, etaMs, lateMs, givesWay, request }) {
  const speed =
    request.speed === 'real' ? 'real time' : typeof request.speed === 'number' ? `${request.speed}x` : request.speed
  return [
    `${count(events)} events`,
    state === 'running' && perSecond !== null ? `${count(perSecond)}/s` : '',
    `speed ${speed}`,
    at === null ? '' : `at ${at}`,
    etaMs === null ? '' : `${seconds(etaMs)} left`,
    givesWay ? 'gives way: the cores are full' : '',
    lateMs !== null && lateMs >= 1000 ? `${seconds(lateMs)} late` : '',
  ]
    .filter((part) => part !== '')
    .join(', ')
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text
}

function draw(item, job) {
  const { id, state, share, failure, request } = job
  set(item.querySelector('h3'), id)
  const badge = item.querySelector('.state')
  set(badge, state)
  badge.className = `state ${state}`
  const { kind, ...rest } = request.target
  set(
    item.querySelector('.target'),
    `into ${kind} ${rest.stream ?? rest.table ?? rest.topic ?? rest.url ?? rest.path ?? ''}`,
  )
  const bar = item.querySelector('progress')
  bar.hidden = share === null
  bar.value = share ?? 0
  bar.setAttribute('aria-label', `How far ${id} is`)
  set(item.querySelector('.figures'), figures(job))
  const failed = item.querySelector('.failure')
  failed.hidden = failure === null
  set(failed, failure ?? '')
  const isOver = state === 'done' || state === 'cancelled'
  item.querySelector('.controls').hidden = isOver
  const isHere = state === 'running' || state === 'paused'
  const can = {
    pause: state === 'running',
    resume: !isHere || state === 'paused',
    step: isHere,
    jump: isHere,
    stop: state !== 'stopped' && state !== 'failed',
    speed: true,
    cancel: true,
  }
  for (const button of item.querySelectorAll('button')) button.disabled = !can[button.dataset.action]
}

async function look() {
  clearTimeout(timer)
  if (token === '') return
  try {
    const { items, next } = await ask('GET', `replay?limit=${shown}`)
    const list = byId('list')
    const known = new Map([...list.children].map((item) => [item.dataset.id, item]))
    for (const [place, job] of items.entries()) {
      let item = known.get(job.id)
      if (item === undefined) {
        item = byId('one').content.firstElementChild.cloneNode(true)
        item.dataset.id = job.id
      }
      known.delete(job.id)
      if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null)
      draw(item, job)
    }
    for (const item of known.values()) item.remove()
    byId('none').hidden = items.length > 0
    byId('more').hidden = next === null || shown >= 200
    if (byId('problem').dataset.of === 'look') say('problem', '')
  } catch (error) {
    say('problem', error.status === undefined ? 'The server does not answer: what is shown is old.' : error.message)
    byId('problem').dataset.of = 'look'
  }
  clearTimeout(timer)
  if (token !== '') timer = setTimeout(look, document.hidden ? askHiddenMs : askMs)
}

/** What somebody has asked for: done, or told why not. */
async function attempt(work) {
  byId('problem').dataset.of = 'asked'
  say('problem', '')
  say('note', '')
  try {
    say('note', await work())
  } catch (error) {
    byId('problem').dataset.of = 'asked'
    say('problem', error.message)
  }
  await look()
}

const speedOf = (text) => (/^[\d.]+x?$/.test(text) ? Number.parseFloat(text) : text)
const list = (text) =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')

function request(form) {
  const value = (name) => form.elements[name].value.trim()
  const some = (name) => (value(name) === '' ? {} : { [name]: value(name) })
  return {
    source: value('source'),
    ...some('from'),
    ...some('to'),
    ...some('jsonpath'),
    types: list(value('types')),
    subjects: list(value('subjects')),
    tenants: list(value('tenants')),
  }
}

byId('enter').addEventListener('submit', (event) => {
  event.preventDefault()
  token = byId('token').value.trim()
  byId('token').value = ''
  sessionStorage.setItem(remembered, token)
  say('problem', '')
  show()
})
byId('leave').addEventListener('click', () => enter())
byId('more').addEventListener('click', () => {
  shown = Math.min(200, shown + pageSize)
  void look()
})
byId('begin').elements.kind.addEventListener('change', ({ target }) => {
  set(byId('name-label'), labels[target.value])
  byId('begin').elements.name.placeholder = hints[target.value]
})
// Sent twice, say by a click too many or a line that broke, it is one replay.
const newKey = () => crypto.randomUUID?.() ?? String(Math.random())
let key = newKey()
byId('begin').addEventListener('input', () => {
  key = newKey()
})
byId('begin').addEventListener('submit', (event) => {
  event.preventDefault()
  const form = event.currentTarget
  const how = event.submitter?.value ?? 'replay'
  void attempt(async () => {
    if (how === 'estimate') {
      const found = await ask('POST', 'replay/estimate', request(form))
      return [
        `${found.exact ? '' : 'About '}${count(found.events)} events, ${count(found.bytes)} bytes.`,
        ...found.warnings,
      ].join(' ')
    }
    const kind = form.elements.kind.value
    const rate = form.elements.rate.value.trim()
    const body = {
      ...request(form),
      target: { kind, [names[kind]]: form.elements.name.value.trim() },
      speed: speedOf(form.elements.speed.value.trim()),
      rate: rate === 'max' || rate === '' ? 'max' : Number(rate),
    }
    const begun = await ask('POST', how, body, { 'idempotency-key': key })
    key = newKey()
    return [`${begun.id} has begun.`, ...begun.warnings.map((warning) => `${warning}.`)].join(' ')
  })
})
byId('list').addEventListener('click', (event) => {
  const { action } = event.target.dataset ?? {}
  const item = event.target.closest('li')
  if (action === undefined || item === null) return
  const { id } = item.dataset
  if (action === 'cancel' && !confirm(`Give up ${id}? It cannot be gone on with.`)) return
  const more =
    action === 'speed'
      ? { speed: speedOf(item.querySelector('[data-speed]').value.trim()) }
      : action === 'jump'
        ? { to: item.querySelector('[data-to]').value.trim() }
        : {}
  void attempt(async () => {
    await ask('POST', `controlled-replay/${encodeURIComponent(id)}`, { action, ...more })
    return ''
  })
})
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void look()
})
show()
