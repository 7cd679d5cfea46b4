/**
 * Debian packages as files, without installing anything: an apt of our own, with its own sources, lists and cache in one folder.
 * apt checks every byte against the signed Release file; nothing here switches that off. Works without root.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { lastLines, type Ran, run } from './run.ts'

export type Source = { uri: string; suite: string; keyring: string }

export type Apt = {
  update(): Promise<Ran>
  /** Into the folder `archives`. */
  download(packages: readonly string[], onLine?: (line: string) => void): Promise<Ran>
  archives: string
}

/** `source` 'system' is whatever the machine's own apt uses. */
export function openApt(folder: string, source: Source | 'system', signal?: AbortSignal): Apt {
  const archives = join(folder, 'archives')
  for (const path of ['lists/partial', 'cache/archives/partial', 'sources', 'archives']) {
    mkdirSync(join(folder, path), { recursive: true })
  }
  writeFileSync(join(folder, 'status'), '')
  const settings = [
    // What the machine does after its own updates (clean caches, tell desktops) is not for ours.
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    `Dir::State "${folder}";`,
    `Dir::State::lists "${folder}/lists";`,
    `Dir::State::status "${folder}/status";`,
    `Dir::Cache "${folder}/cache";`,
    'Acquire::Languages "none";',
    'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
    'Acquire::Retries "3";',
    // The project may lie in a folder that apt's own user cannot enter.
    'APT::Sandbox::User "root";',
  ]
  if (source !== 'system') {
    // apt-get update exits 0 when it only warns that it kept old lists; here there may be none, so that is a failure too.
    settings.push('APT::Update::Error-Mode "any";')
    settings.push('Dir::Etc::sourcelist "/dev/null";', `Dir::Etc::sourceparts "${folder}/sources";`)
    writeFileSync(
      join(folder, 'sources', 'millrace.sources'),
      `Types: deb\nURIs: ${source.uri}\nSuites: ${source.suite}\nComponents: main\nSigned-By: ${source.keyring}\n`,
    )
  }
  const file = join(folder, 'apt.conf')
  writeFileSync(file, `${settings.join('\n')}\n`)
  const aptGet = (args: readonly string[], onLine?: (line: string) => void) =>
    run('apt-get', ['-c', file, ...args], {
      cwd: archives,
      signal,
      env: { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
      ...(onLine ? { onLine } : {}),
    })
  return {
    archives,
    update: () => aptGet(['update', '-q']),
    download: (packages, onLine) => aptGet(['download', '-q', ...packages], onLine),
  }
}

/** What apt complained about, for a person. */
export function aptComplaint(ran: Ran): string {
  const complaints = ran.out.split('\n').filter((line) => /^[EW]: /.test(line))
  return complaints.length > 0 ? complaints[0]!.slice(3) : lastLines(ran.out, 1)
}
