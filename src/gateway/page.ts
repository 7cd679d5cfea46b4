/**
 * A page to begin, watch and steer replays: one HTML file with its style and script, which needs nothing from anywhere else. It holds no secret: the token
 * is asked for, and kept by the browser's tab alone.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { colourRules } from '../live/colours.ts'

const read = (name: string) => readFileSync(new URL(`./${name}`, import.meta.url), 'utf8')
const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

export function replayPage(): { readonly headers: Readonly<Record<string, string>>; readonly body: string } {
  const script = read('page-script.js')
  const style = `${colourRules()}${read('page.css')}`
  return {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `default-src 'none'; style-src ${hashOf(style)}; script-src ${hashOf(script)}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    },
    body: html(style, script),
  }
}

const html = (style: string, script: string) => `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Replays: Millrace</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<header><h1>Replays <small>Millrace</small></h1><button type="button" id="leave" hidden>Forget the token</button></header>
<noscript><p class="says bad">This page needs its script. The same can be done by <code>millrace replay</code>.</p></noscript>
<p class="says bad" id="problem" role="alert" hidden></p>
<p class="says" id="note" role="status" hidden></p>

<form id="enter" hidden>
<label>Token <input id="token" type="password" autocomplete="off" required></label>
<p class="quiet">What <code>MILLRACE_GATEWAY_TOKEN</code> is set to. This tab keeps it until it is closed.</p>
<button type="submit">Go on</button>
</form>

<main id="inside" hidden>
<section aria-labelledby="h-begin">
<h2 id="h-begin">Begin a replay</h2>
<form id="begin">
<div class="fields">
<label>From <input name="from" placeholder="2026-11-21T09:30:00Z" autocomplete="off"></label>
<label>To <input name="to" placeholder="all there is" autocomplete="off"></label>
<label>Source <select name="source"><option>auto</option><option>postgres</option><option>kafka</option></select></label>
<label>Types <input name="types" placeholder="com.bss.order.*" autocomplete="off"></label>
<label>Subjects <input name="subjects" placeholder="ord_1" autocomplete="off"></label>
<label>Tenants <input name="tenants" autocomplete="off"></label>
<label>Condition on data <input name="jsonpath" placeholder="$.amount &gt; 100" autocomplete="off"></label>
<label>Into <select name="kind"><option value="redis">Redis stream</option><option value="table">table</option><option value="kafka">Kafka topic</option><option value="webhook">webhook</option><option value="file">file</option></select></label>
<label><span id="name-label">Stream</span> <input name="name" required placeholder="replay:mine" autocomplete="off"></label>
<label>Speed <input name="speed" value="real" list="speeds" autocomplete="off"></label>
<label>At most, events a second <input name="rate" value="20000" autocomplete="off"></label>
</div>
<datalist id="speeds"><option value="max"><option value="real"><option value="10"><option value="100"><option value="0.5"></datalist>
<p class="quiet">Several types, subjects or tenants: with commas between. Times with their zone.</p>
<div class="row"><button type="submit" name="how" value="replay">Begin</button><button type="submit" name="how" value="controlled-replay">Begin standing still</button><button type="submit" name="how" value="estimate">How many would it be?</button></div>
</form>
</section>
<section aria-labelledby="h-list">
<h2 id="h-list">Replays</h2>
<p class="quiet" id="none" hidden>There are none yet.</p>
<ul id="list"></ul>
<button type="button" id="more" hidden>Older ones</button>
</section>
</main>
<template id="one"><li><div class="row"><h3></h3><span class="state"></span><span class="target quiet"></span></div>
<progress max="1"></progress>
<p class="figures"></p><p class="failure bad" hidden></p>
<div class="row controls"><button type="button" data-action="pause">Pause</button><button type="button" data-action="resume">Go on</button><button type="button" data-action="step">One event</button><label>Speed <input data-speed list="speeds" size="6" autocomplete="off"></label><button type="button" data-action="speed">Set</button><label>Jump to <input data-to size="22" placeholder="2026-11-21T09:30:00Z" autocomplete="off"></label><button type="button" data-action="jump">Jump</button><button type="button" data-action="stop">Stop</button><button type="button" data-action="cancel">Give up</button></div>
</li></template>
<script>${script}</script>
</body>
</html>
`
