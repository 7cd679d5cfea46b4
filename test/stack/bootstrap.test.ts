/** bin/ in a small project of its own: its one dependency is a file, so that npm needs no registry. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { identify } from '../../src/stack/lock.mjs'
import { eventually, root } from './root.ts'

const project = mkdtempSync(join(tmpdir(), 'millrace-test-'))
after(() => rmSync(project, { recursive: true }))
cpSync(join(root, 'bin'), join(project, 'bin'), { recursive: true })
// What bin/ takes from src/.
for (const file of ['src/stack/lock.mjs', 'src/process/node-flags.mjs']) cpSync(join(root, file), join(project, file))
mkdirSync(join(project, 'tiny'))
writeFileSync(join(project, 'tiny', 'package.json'), '{ "name": "tiny", "version": "1.0.0" }')
const npm = (...args: string[]) => execFileSync('npm', args, { cwd: project, stdio: 'pipe' })
npm('pack', './tiny')
const manifest = { name: 'millrace', version: '0.0.1', type: 'module', dependencies: { tiny: 'file:tiny-1.0.0.tgz' } }
writeFileSync(join(project, 'package.json'), JSON.stringify(manifest))
npm('install', '--package-lock-only', '--no-audit')
writeFileSync(
  join(project, 'src', 'main.ts'),
  `const signals: string[] = []
   for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void signals.push(signal))
   process.on('disconnect', () => process.exit(3))
   const [, , command, code] = process.argv
   if (command === 'wait') {
     process.stdout.write(process.pid + '\\n')
     setInterval(() => { if (signals.length > 0) { process.stdout.write(signals.join()); process.exit(Number(code)) } }, 20)
   } else {
     process.stdout.write(process.argv.slice(2).join(' '))
     process.exitCode = Number(code)
     process.channel?.unref()
   }`,
)

/** As npm starts it: with the mark that makes the program a child. */
function millrace(...args: string[]): ChildProcess {
  return spawn(process.execPath, [join(project, 'bin/millrace.mjs'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, npm_lifecycle_event: 'start' },
    detached: true,
  })
}

async function finish(child: ChildProcess) {
  const [out, error, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'exit')])
  return { out, error, code }
}

async function firstLine(child: ChildProcess): Promise<number> {
  const ended = once(child, 'exit').then(([code]) =>
    Promise.reject(new Error(`it ended with ${code} and said nothing`)),
  )
  const [chunk] = await Promise.race([once(child.stdout!, 'data'), ended])
  return Number(String(chunk).trim())
}

test("two commands at once in a bare clone: one installs, both run, and stdout is the program's own", async () => {
  const [first, second] = await Promise.all([finish(millrace('start', '7', '--json')), finish(millrace('start', '0'))])
  assert.deepEqual([first.out, first.code], ['start 7 --json', 7])
  assert.deepEqual([second.out, second.code], ['start 0', 0])
  assert.equal(`${first.error}${second.error}`.match(/dependencies installed/g)?.length, 1)
  const third = await finish(millrace('start', '0'))
  assert.equal(third.error, '', 'the third has nothing to say')
})

test('SIGTERM goes to the program, Ctrl-C reaches it once, and its exit code is ours', async () => {
  const ended = millrace('wait', '5')
  await firstLine(ended)
  ended.kill('SIGTERM')
  assert.deepEqual(await finish(ended), { out: 'SIGTERM', error: '', code: 5 })

  const interrupted = millrace('wait', '6')
  await firstLine(interrupted)
  // A terminal sends to the whole foreground group; npm then sends its child another one.
  process.kill(-interrupted.pid!, 'SIGINT')
  interrupted.kill('SIGINT')
  assert.deepEqual(await finish(interrupted), { out: 'SIGINT', error: '', code: 6 })
})

test('kill -9 of the bootstrap, or of the npm above it, reaches the program through the channel', async () => {
  const child = millrace('wait', '0')
  const program = await firstLine(child)
  child.kill('SIGKILL')
  await eventually('the program has ended', () => !identify(program))

  const bin = join(project, 'bin/millrace.mjs')
  const parent = spawn('sh', ['-c', `"${process.execPath}" "${bin}" wait 0; true`], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, npm_lifecycle_event: 'start' },
  })
  const grandchild = await firstLine(parent)
  parent.kill('SIGKILL')
  await eventually('the program has ended', () => !identify(grandchild))
})

test('a package that is not what the lockfile says: one line with what and where, and no program runs', async () => {
  const lockfile = join(project, 'package-lock.json')
  const good = readFileSync(lockfile, 'utf8')
  // Another hash, of the right length.
  writeFileSync(
    lockfile,
    good.replace(/sha512-.{8}/, 'sha512-AAAAAAAA').replace('"version": "1.0.0"', '"version": "1.0.1"'),
  )
  try {
    const { out, error, code } = await finish(millrace('start', '0'))
    assert.equal(out, '')
    assert.equal(code, 1)
    assert.match(error, /SETUP_FAILED: npm install failed: .+npm\.log\)\. Mend the cause and run it again\.\n$/)
  } finally {
    writeFileSync(lockfile, good)
  }
})

test('the bin file is what npx runs: executable, and it finds its project from elsewhere', () => {
  const out = execFileSync(join(root, 'bin/millrace.mjs'), ['--version'], { cwd: '/', encoding: 'utf8' })
  assert.match(out, /^\d+\.\d+\.\d+\n$/)
})
