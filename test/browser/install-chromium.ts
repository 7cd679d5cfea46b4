/**
 * Chromium for the browser tests: one on PATH, or else Debian's own headless one for this very release, unpacked into .local/cache with the libraries
 * that this machine may lack. It runs on the machine's C library, which is that of the release; nothing is installed into the system.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Apt, aptComplaint, openApt } from '../../src/stack/apt.ts'
import { type Install, installFolder, readLinux, setupFailed } from '../../src/stack/install.ts'
import type { OnProgress } from '../../src/stack/progress.ts'
import { run, which } from '../../src/stack/run.ts'

export interface Chromium {
  readonly command: string
  readonly env: Readonly<Record<string, string>>
}

const packageName = 'chromium-headless-shell'
const onPath = ['chromium-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']
const again = 'Check the network and run it again, or put chromium on PATH.'

/** What its packages wish for and a browser without a screen never loads: drivers of graphics cards, tools of desktops; and the machine's own C library. */
const needless =
  /^(libc6|libgcc-s1|gcc-.*|libstdc\+\+6|libllvm.*|libz3.*|mesa-.*|libgl1.*|libglx.*|libvulkan1|libdrm-(amdgpu|intel|radeon|nouveau).*|libsensors.*|x11-.*|xdg-utils|lsb-base|debconf|sysvinit-utils|.*-doc)$/

/** null: none is here, and this is no Debian to take one from. */
export async function installChromium(
  root: string,
  onProgress: OnProgress,
  signal?: AbortSignal,
): Promise<Chromium | null> {
  for (const program of onPath) {
    const command = await which(program)
    // Ubuntu's is a note that says where to get one.
    if (command !== undefined && (await run(command, ['--version'])).code === 0) return { command, env: {} }
  }
  const linux = readLinux()
  if (linux?.id !== 'debian' || !(await which('apt-get')) || !(await which('dpkg-deb'))) return null
  const install: Install = { cache: join(root, '.local', 'cache'), part: 'Chromium', onProgress, signal }
  mkdirSync(install.cache, { recursive: true })
  const folder = await installFolder(install, `chromium-${linux.codename}`, (building) => fetchAll(install, building))
  return unpacked(folder)
}

async function fetchAll(install: Install, building: string): Promise<void> {
  const { onProgress, part, signal } = install
  const tell = (text: string) => onProgress({ part, text, done: false })
  tell('asks for the list of packages')
  const apt = openApt(join(building, 'apt'), 'system', signal)
  // It may fail for a source that has nothing to do with this; what follows tells.
  await apt.update()
  const packages = await closure(install, apt, building)
  let fetched = 0
  const ran = await apt.download(packages, (line) => {
    if (line.startsWith('Get:')) tell(`fetches ${++fetched} of ${packages.length} packages (120 MB)`)
  })
  if (ran.code !== 0) throw setupFailed(install, `apt could not fetch Chromium: ${aptComplaint(ran)}`, ran, again)
  tell('unpacks')
  for (const file of readdirSync(apt.archives).filter((name) => name.endsWith('.deb'))) {
    const one = await run('dpkg-deb', ['-x', join(apt.archives, file), join(building, 'unpacked')], { signal })
    if (one.code !== 0) throw setupFailed(install, `dpkg-deb could not unpack ${file}`, one, again)
  }
  renameSync(join(building, 'unpacked', 'usr'), join(building, 'usr'))
  // Releases before trixie keep some libraries there.
  const old = join(building, 'unpacked', 'lib')
  if (existsSync(old)) renameSync(old, join(building, 'lib'))
  for (const leftover of ['unpacked', 'apt', 'usr/share/doc', 'usr/share/icons']) {
    rmSync(join(building, leftover), { recursive: true, force: true })
  }
  const { command, env } = unpacked(building)
  // The loader's own list of what it would load, without running anything.
  const found = await run(command, ['--version'], { env: { ...env, LD_TRACE_LOADED_OBJECTS: '1' } })
  const missing = [...found.out.matchAll(/(\S+) => not found/g)].map(([, name]) => name)
  if (missing.length > 0) throw setupFailed(install, `Chromium lacks ${missing.join(', ')}`, found, again)
}

/** Everything that apt would install on an empty machine: its own list of what is installed is empty. */
async function closure(install: Install, apt: Apt, building: string): Promise<string[]> {
  const file = join(building, 'apt', 'apt.conf')
  const args = ['-c', file, '-s', '--no-install-recommends', 'install', packageName]
  const ran = await run('apt-get', args, { cwd: apt.archives, signal: install.signal, env: { LC_ALL: 'C' } })
  const names = [...ran.out.matchAll(/^Inst (\S+)/gm)].map(([, name]) => name as string)
  if (ran.code !== 0 || !names.includes(packageName)) {
    throw setupFailed(install, `apt knows no ${packageName} that fits this machine`, ran, again)
  }
  return names.filter((name) => !needless.test(name))
}

/** Also writes the list of fonts for where the folder is now: it has absolute paths in it. */
function unpacked(folder: string): Chromium {
  const triplets = (parent: string) =>
    existsSync(join(folder, parent))
      ? readdirSync(join(folder, parent))
          .filter((name) => name.includes('-linux-gnu'))
          .map((name) => join(folder, parent, name))
      : []
  const libraries = [...triplets('usr/lib'), ...triplets('lib')]
    // Its own libraries are looked for where they would be installed.
    .flatMap((path) => [path, join(path, 'pulseaudio')])
    .filter((path) => existsSync(path))
  const fonts = join(folder, 'fonts.conf')
  writeFileSync(
    fonts,
    `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><dir>${join(folder, 'usr/share/fonts')}</dir><cachedir>${join(folder, 'font-cache')}</cachedir></fontconfig>\n`,
  )
  return {
    command: join(folder, 'usr/lib/chromium', packageName),
    env: {
      LD_LIBRARY_PATH: libraries.join(':'),
      FONTCONFIG_FILE: fonts,
      XKB_CONFIG_ROOT: join(folder, 'usr/share/X11/xkb'),
    },
  }
}
