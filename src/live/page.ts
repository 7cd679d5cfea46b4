/**
 * The page of a fleet, or of one replica: one HTML file with its style and a small script, which needs nothing from anywhere else. It is whole as it
 * comes, so that it also works without the script: then the browser asks for all of it anew.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { escapeText } from './chart.ts'
import { colourRules } from './colours.ts'
import { heatSteps, roomLetters } from './partitions.ts'
import type { Picture } from './picture.ts'
import { renderLive } from './sections.ts'

const read = (name: string) => readFileSync(new URL(`./${name}`, import.meta.url), 'utf8')
const script = read('page-script.js')
const style = `${colourRules()}${read('page.css')}${heatRules()}`
const hash = createHash('sha256').update(script).digest('base64')

/** The five rooms' steps are in every cell; which of them is shown hangs on what is checked. */
function heatRules(): string {
  const steps = Array.from({ length: heatSteps }, (_, step) => step)
  const looks = (step: number) => `{background:var(--h${step});color:var(--h${step}-ink)}`
  return [
    // The second for browsers that do not know :has().
    ...steps.map((step) => `.legend .h${step},.heat li.p${step}:not(.stopped)${looks(step)}`),
    ...Object.entries(roomLetters).flatMap(([room, letter]) =>
      steps.map(
        (step) => `.partitions:has(#show-${room}:checked) .heat li.${letter}${step}:not(.stopped)${looks(step)}`,
      ),
    ),
  ].join('\n')
}

/** What a browser may do with the page: run its own script, ask its own server. */
export const pageHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** `of`: whose page it is: `replica-1`, or `the fleet`. */
export function renderPage(picture: Picture, of: string): string {
  const name = escapeText(picture.consumer === '' ? 'Millrace' : picture.consumer)
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${name}, ${escapeText(of)}: Millrace</title>
<link rel="icon" href="data:,">
<noscript><meta http-equiv="refresh" content="3"></noscript>
<style>${style}</style>
</head>
<body>
<a class="skip" href="#h-partitions">To the partitions</a>
<header><h1>${name} <small>${escapeText(of)}</small></h1><button type="button" id="pause" aria-pressed="false" hidden>Pause</button></header>
<p class="silence" id="silence" role="alert" hidden></p>
${renderLive(picture)}
<script>${script}</script>
</body>
</html>
`
}

export interface PageAnswer {
  readonly code: 200
  readonly type: string
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
}

/** The page, what of it is drawn anew, and the same as JSON; whoever serves HTTP puts them beside its own. */
export function pageRoutes(picture: () => Picture, of: string): Readonly<Record<string, () => PageAnswer>> {
  const answer = (type: string, body: string): PageAnswer => ({ code: 200, type, body, headers: pageHeaders })
  return {
    '/': () => answer('text/html; charset=utf-8', renderPage(picture(), of)),
    '/live': () => answer('text/html; charset=utf-8', renderLive(picture())),
    '/picture.json': () => answer('application/json; charset=utf-8', `${JSON.stringify(picture())}\n`),
  }
}
