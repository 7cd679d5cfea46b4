// Runs in the page. Asks for what is drawn anew, once a second while somebody looks, and changes only what has changed: what is focused, chosen,
// marked or scrolled stays so.
const askMs = 1000
const askHiddenMs = 10_000
const answerMs = 5000

/** Attributes that belong to whoever looks. */
const kept = new Set(['aria-selected', 'aria-activedescendant'])
const silence = document.getElementById('silence')
const pause = document.getElementById('pause')
let chosen = ''
let isPaused = false
let isAsking = false
let timer = 0

function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName || from.id !== to.id) {
    from.replaceWith(to)
    return
  }
  if (from.nodeType === Node.TEXT_NODE) {
    if (from.data !== to.data) from.data = to.data
    return
  }
  if (from.nodeType !== Node.ELEMENT_NODE || from.hasAttribute('data-kept')) return
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !kept.has(name)) from.removeAttribute(name)
  }
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value && !kept.has(name)) from.setAttribute(name, value)
  }
  const old = [...from.childNodes]
  const fresh = [...to.childNodes]
  for (const [index, node] of fresh.entries()) {
    if (index < old.length) morph(old[index], node)
    else from.append(node)
  }
  for (const node of old.slice(fresh.length)) node.remove()
}

async function ask() {
  // Whoever comes back to the page asks at once; that must not become a second round of asking.
  if (isAsking) return
  isAsking = true
  clearTimeout(timer)
  try {
    const response = await fetch('live', { cache: 'no-store', signal: AbortSignal.timeout(answerMs) })
    if (!response.ok) throw new Error(String(response.status))
    const template = document.createElement('template')
    template.innerHTML = await response.text()
    if (!isPaused) draw(template.content.firstElementChild)
    silence.hidden = true
  } catch {
    if (silence.hidden) {
      silence.textContent = `No answer since ${new Date().toLocaleTimeString()}: what is shown is old.`
      silence.hidden = false
    }
  } finally {
    isAsking = false
  }
  if (!isPaused) timer = setTimeout(ask, document.hidden ? askHiddenMs : askMs)
}

function draw(fresh) {
  morph(document.getElementById('live'), fresh)
  document.title = document.getElementById('live').dataset.title
  choose(chosen)
}

/** The marks of one partition, told below the map. Gone from the map, it is no longer chosen. */
function choose(id) {
  const heat = document.getElementById('heat')
  const option = id === '' ? null : document.getElementById(id)
  const before = heat.querySelector('[aria-selected="true"]')
  if (before !== option) before?.setAttribute('aria-selected', 'false')
  chosen = option === null ? '' : id
  if (option === null) {
    heat.removeAttribute('aria-activedescendant')
    return
  }
  option.setAttribute('aria-selected', 'true')
  heat.setAttribute('aria-activedescendant', id)
  const { replica, marks = '', end, lag, why } = option.dataset
  const names = ['consume', 'decode', 'persist', 'publish', 'settle']
  const figures = marks === '' ? [] : marks.split(' ').map((mark, index) => [names[index], mark])
  const terms = [...figures, ...(end ? [['end in Kafka', end]] : []), ...(lag ? [['oldest that waits', lag]] : [])]
  const head = document.createElement('p')
  head.textContent = `Partition ${option.textContent} of ${replica}${why ? `, ${why}` : ''}`
  const list = document.createElement('dl')
  for (const [name, value] of terms) {
    const term = document.createElement('dt')
    const told = document.createElement('dd')
    term.textContent = name
    told.textContent = /^\d+$/.test(value) ? Number(value).toLocaleString('en') : value
    const pair = document.createElement('div')
    pair.append(term, told)
    list.append(pair)
  }
  // Whoever has marked a figure to copy it shall not lose it to the same figure.
  const detail = document.getElementById('detail')
  if (detail.textContent !== head.textContent + list.textContent) detail.replaceChildren(head, list)
}

/** How far one step goes in a map whose rows the browser breaks as it likes. */
function columnsOf(options) {
  const top = options[0].offsetTop
  const second = options.findIndex((option) => option.offsetTop > top)
  return second < 0 ? options.length : second
}

document.addEventListener('keydown', (event) => {
  if (event.target.id !== 'heat' || event.altKey || event.ctrlKey || event.metaKey) return
  const options = [...event.target.children]
  if (options.length === 0) return
  const at = options.findIndex(({ id }) => id === chosen)
  const row = columnsOf(options)
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row }
  const last = options.length - 1
  const to =
    event.key === 'Home'
      ? 0
      : event.key === 'End'
        ? last
        : event.key in steps
          ? at < 0
            ? 0
            : at + steps[event.key]
          : null
  if (to === null) return
  event.preventDefault()
  if (to < 0 || to > last) return
  choose(options[to].id)
  options[to].scrollIntoView({ block: 'nearest' })
})

document.addEventListener('click', (event) => {
  const option = event.target.closest('#heat [role="option"]')
  if (option !== null) choose(option.id)
})

pause.hidden = false
pause.addEventListener('click', () => {
  isPaused = !isPaused
  pause.setAttribute('aria-pressed', String(isPaused))
  pause.textContent = isPaused ? 'Go on' : 'Pause'
  if (isPaused) clearTimeout(timer)
  else void ask()
})
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && !isPaused) void ask()
})
timer = setTimeout(ask, askMs)
