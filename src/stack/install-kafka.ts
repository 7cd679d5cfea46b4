/**
 * Kafka's own jars, by Maven, as compose/local/pom.xml pins them; a formatted, empty metadata folder to copy; and an archive of parsed classes.
 * The archive is worth its 50 MB: on 2 cores a broker answers after 1.5 s instead of 2.6 s and burns 2.2 instead of 3.7 CPU seconds on the way.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FatalError } from '../core/errors.ts'
import { aptInstall, type Install, installFolder, readLinux, setupFailed } from './install.ts'
import { brokerProperties, jvmFlags, warmUp } from './kafka.ts'
import { freePort } from './ports.ts'
import { run, which } from './run.ts'

export type KafkaParts = {
  version: string
  java: string
  classPath: string
  logging: string
  format: string
  archive: string | undefined
}

const plugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'

export async function installKafka(root: string, install: Install): Promise<KafkaParts> {
  const { onProgress, part } = install
  const java = await findJava(install)
  const local = join(root, 'compose', 'local')
  const pom = readFileSync(join(local, 'pom.xml'), 'utf8')
  const version = pom.match(/<kafka\.version>(.+)<\/kafka\.version>/)?.[1] ?? 'unknown'
  const hash = createHash('sha256').update(pom).digest('hex').slice(0, 8)
  const folder = await installFolder(install, `kafka-${version}-${hash}`, (building) =>
    fetchJars(install, version, join(local, 'pom.xml'), building),
  )
  const jars = readdirSync(folder).filter((file) => file.endsWith('.jar'))
  const parts: KafkaParts = {
    version,
    java: java.path,
    classPath: jars
      .sort()
      .map((jar) => join(folder, jar))
      .join(':'),
    logging: join(local, 'log4j2.xml'),
    format: '',
    archive: undefined,
  }
  // Both depend on the JVM and on where the jars lie; a folder that was moved or a new Java makes them anew.
  const place = createHash('sha256').update(java.version).update(parts.classPath).digest('hex').slice(0, 8)
  const prepared = await installFolder(install, `kafka-${version}-${hash}-java-${place}`, (building) =>
    prepare(install, parts, building),
  )
  parts.format = join(prepared, 'format')
  const archive = join(prepared, 'classes.jsa')
  parts.archive = existsSync(archive) ? archive : undefined
  onProgress({ part, text: `Kafka ${version} on Java ${java.version} is ready`, done: true })
  return parts
}

async function findJava(install: Install): Promise<{ path: string; version: string }> {
  const look = async () => {
    const path = await which('java')
    const version = path ? (await run(path, ['-version'])).out.match(/version "([^"]+)"/)?.[1] : undefined
    return path && version ? { path, version, major: Number.parseInt(version, 10) } : undefined
  }
  let java = await look()
  if (!java || java.major < 17) {
    const old = readLinux()?.version === '11'
    await aptInstall(install, java ? `Java 17 or newer (here is ${java.version})` : 'Java', [
      old ? 'openjdk-17-jre-headless' : 'default-jre-headless',
      'maven',
    ])
    java = await look()
  }
  if (!java || java.major < 17) {
    throw new FatalError(
      'SETUP_FAILED',
      `Kafka needs Java 17 or newer, here is ${java?.version ?? 'none'}.`,
      'Install it, or set JAVA_HOME to it.',
    )
  }
  return java
}

async function fetchJars(install: Install, version: string, pom: string, building: string): Promise<void> {
  const { onProgress, part, signal } = install
  if (!(await which('mvn'))) await aptInstall(install, 'Maven', ['maven'])
  let fetched = 0
  onProgress({ part, text: `Maven fetches Kafka ${version} (about 45 MB)`, done: false })
  // -C: a file whose checksum is wrong fails the run. Files that are whole stay in Maven's own cache, so a run after an interrupted one goes on.
  const ran = await run('mvn', ['-B', '-C', '-f', pom, plugin, `-DoutputDirectory=${building}`], {
    signal,
    onLine: (line) => {
      if (!/Downloaded from .*\.jar|Copying .*\.jar/.test(line)) return
      fetched += 1
      onProgress({ part, text: `Maven fetches Kafka ${version}: ${fetched} files`, done: false })
    },
  })
  if (ran.code !== 0)
    throw setupFailed(
      install,
      `Maven could not fetch Kafka ${version}`,
      ran,
      'Check the network and run it again; it goes on where it stopped.',
    )
}

/** Formats a metadata folder, then runs a broker on it once, which writes the archive as it stops. Without the archive all works, slower. */
async function prepare(install: Install, parts: KafkaParts, building: string): Promise<void> {
  const { onProgress, part, signal } = install
  onProgress({ part, text: 'prepares a class archive, so that every start takes half the time', done: false })
  const data = join(building, 'data')
  const properties = join(building, 'broker.properties')
  mkdirSync(data)
  const port = await freePort(new Set())
  const controller = await freePort(new Set([port]))
  writeFileSync(properties, brokerProperties(data, { kafka: port, controller }, {}))
  const flags = jvmFlags({ ...parts, archive: undefined })
  const clusterId = createHash('sha256').update(building).digest().subarray(0, 16).toString('base64url')
  const ran = await run(
    parts.java,
    [...flags, 'kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties],
    { signal },
  )
  if (ran.code !== 0)
    throw setupFailed(install, 'Kafka could not format its data folder', ran, 'Run it again; report it when it stays.')
  await run('cp', ['-a', data, join(building, 'format')])
  const archive = join(building, 'classes.jsa')
  await warmUp(
    parts.java,
    [...flags, `-XX:ArchiveClassesAtExit=${archive}.part`, 'kafka.Kafka', properties],
    port,
    signal,
  )
  if (existsSync(`${archive}.part`)) renameSync(`${archive}.part`, archive)
  rmSync(data, { recursive: true })
  rmSync(properties)
}
