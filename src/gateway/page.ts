/**
 * A page to begin, watch and steer replays: one HTML file with its style and script, which needs nothing from anywhere else. It holds no secret: the token
 * is asked for, and kept by the browser's tab alone.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

const read = (name: string) => readFileSync(new URL(`./${name}`, import.meta.url), 'utf8')
const hashOf = (text: string) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

export function replayPage(): { readonly headers: Readonly<Record<string, string>>; readonly body: string } {
  const script = read('page-script.js')
  const style = read('page.css')
  return {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `default-src 'none'; style-src ${hashOf(style)}; script-src ${hashOf(script)}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
    },
    // Functions, so that a $ in a text is a $.
    body: read('page.html')
      .replace('/* style */', () => style)
      .replace('/* script */', () => script),
  }
}
