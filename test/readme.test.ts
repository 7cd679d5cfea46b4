/** The README's tables are those of the code: `node test/readme.test.ts --write` renews them. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import definition from '../consumers/cloud-events.ts'
import { codes } from '../src/core/errors.ts'
import { renderBusinessTable, renderMetricsTable } from '../src/core/metrics.ts'
import { renderSettingsTable } from '../src/core/settings.ts'
import { rejectCodes } from '../src/core/verdict.ts'

const path = new URL('../README.md', import.meta.url)

function table(head: string, rows: Readonly<Record<string, string>>): string {
  const lines = Object.entries(rows).map(([name, text]) => `| \`${name}\` | ${text} |`)
  return [`| ${head} | meaning |`, '|---|---|', ...lines, ''].join('\n')
}

const tables: Record<string, string> = {
  settings: renderSettingsTable(),
  metrics: renderMetricsTable(),
  business: renderBusinessTable(definition.metrics ?? []),
  codes: table('code', codes),
  rejects: table('`rejects.code`', rejectCodes),
}

/** The text between `<!-- name -->` and `<!-- /name -->`. */
const section = (name: string) => new RegExp(`(<!-- ${name} -->\n)[^]*?(<!-- /${name} -->)`)

if (process.argv.includes('--write')) {
  let text = readFileSync(path, 'utf8')
  for (const [name, body] of Object.entries(tables))
    text = text.replace(section(name), (_, open, close) => `${open}\n${body}\n${close}`)
  writeFileSync(path, text)
} else {
  for (const [name, body] of Object.entries(tables)) {
    test(`the README's table of ${name} is the code's`, () => {
      const found = section(name).exec(readFileSync(path, 'utf8'))
      assert.ok(found, `README.md has no section ${name}`)
      assert.equal(
        found[0],
        `<!-- ${name} -->\n\n${body}\n<!-- /${name} -->`,
        'renew it: node test/readme.test.ts --write',
      )
    })
  }
}
