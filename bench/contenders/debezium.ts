/**
 * The JDBC sink of Debezium on Kafka Connect, one worker of its own (standalone), in the settings that were fastest of those tried: upsert, polls and
 * batches of 5,000 records, two tasks. Headers become columns, the record's key is the row's key; `stringtype=unspecified` lets PostgreSQL read text
 * as jsonb, uuid and timestamptz, for the sink knows these only from sources of Debezium's own. Its UNNEST inserts (3.5) cannot be used here: they cast
 * the key to text, and PostgreSQL refuses that for a uuid.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { installFolder, setupFailed } from '../../src/stack/install.ts'
import { installKafka } from '../../src/stack/install-kafka.ts'
import { freePort } from '../../src/stack/ports.ts'
import { run } from '../../src/stack/run.ts'
import { root, topic, type World } from '../world.ts'
import { startChild } from './child.ts'
import type { Contender, Started } from './contender.ts'

const copy = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies'
const headers = {
  ce_id: 'event_id',
  ce_source: 'source',
  ce_type: 'type',
  ce_time: 'event_time',
  ce_subject: 'subject',
  ce_tenantid: 'tenant_id',
}

interface Connect {
  readonly java: string
  readonly logging: string
  readonly classPath: string
  readonly plugins: string
}

async function installConnect({ say, signal }: World): Promise<Connect> {
  const install = {
    cache: join(root, '.local/cache'),
    part: 'Connect',
    onProgress: ({ text }: { text: string }) => say(text),
    signal,
  }
  const { java, logging } = await installKafka(root, install)
  const fetch = (name: string, pom: string, excluded: string) =>
    installFolder(install, name, async (building) => {
      say(`Maven fetches ${name}`)
      const words = ['-B', '-C', '-f', join(root, 'bench/connect', pom), copy, `-DoutputDirectory=${building}`]
      const ran = await run('mvn', [...words, `-DexcludeArtifactIds=${excluded}`], { signal })
      if (ran.code !== 0) throw setupFailed(install, `Maven could not fetch ${name}`, ran, 'Check the network.')
    })
  const runtime = await fetch('connect-4.3.1', 'pom.xml', 'none')
  // What Connect brings itself must not come twice, its JSON parser above all.
  const shared =
    'connect-api,kafka-clients,slf4j-api,jackson-core,jackson-databind,jackson-annotations,lz4-java,snappy-java,zstd-jni'
  const drivers = 'mariadb-java-client,mssql-jdbc,mysql-connector-j,ojdbc11'
  await fetch('connect-plugins/debezium-jdbc-3.5.0', 'debezium-pom.xml', `${shared},${drivers}`)
  const jars = readdirSync(runtime).filter((name) => name.endsWith('.jar'))
  return {
    java,
    logging,
    classPath: jars.map((name) => join(runtime, name)).join(':'),
    plugins: join(install.cache, 'connect-plugins'),
  }
}

let connect: Connect | undefined
let group = 0
const tasks = 2
const batch = 5000

export const debezium: Contender = {
  name: 'debezium',
  title: 'Debezium JDBC sink on Kafka Connect',
  stores: true,
  publishes: false,
  async install(world) {
    connect = await installConnect(world)
  },
  start: startWorker,
}

/** A worker with the sink in it. */
async function startWorker(world: World): Promise<Started> {
  const { java, logging, classPath, plugins } = connect as Connect
  const { stack, logs } = world
  const folder = join(logs, '..', 'connect')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const port = await freePort(new Set())
  const worker = {
    'bootstrap.servers': stack.kafka,
    'plugin.path': plugins,
    'plugin.discovery': 'hybrid_warn',
    'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'value.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'header.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'offset.storage.file.filename': join(folder, 'offsets'),
    'offset.flush.interval.ms': '5000',
    listeners: `http://127.0.0.1:${port}`,
    'consumer.max.poll.records': String(batch),
    'consumer.fetch.max.bytes': String(50 * 1024 * 1024),
    'consumer.max.partition.fetch.bytes': String(1024 * 1024),
    'consumer.auto.offset.reset': 'earliest',
  }
  const url = new URL(stack.postgres)
  const connector = {
    name: `debezium-${++group}`,
    config: {
      'connector.class': 'io.debezium.connector.jdbc.JdbcSinkConnector',
      'tasks.max': String(tasks),
      topics: topic,
      'connection.url': `jdbc:postgresql://${url.host}${url.pathname}?reWriteBatchedInserts=true&stringtype=unspecified`,
      'connection.username': url.username,
      'connection.password': url.password,
      'collection.name.format': 'cloud_events',
      'schema.evolution': 'none',
      'insert.mode': 'upsert',
      'primary.key.mode': 'record_key',
      'primary.key.fields': 'id',
      'batch.size': String(batch),
      'use.reduction.buffer': 'true',
      transforms: 'key,data,headers,place',
      'transforms.key.type': 'org.apache.kafka.connect.transforms.HoistField$Key',
      'transforms.key.field': 'id',
      'transforms.data.type': 'org.apache.kafka.connect.transforms.HoistField$Value',
      'transforms.data.field': 'data',
      'transforms.headers.type': 'io.debezium.transforms.HeaderToValue',
      'transforms.headers.headers': Object.keys(headers).join(),
      'transforms.headers.fields': Object.values(headers).join(),
      'transforms.headers.operation': 'copy',
      'transforms.place.type': 'org.apache.kafka.connect.transforms.InsertField$Value',
      'transforms.place.topic.field': 'kafka_topic',
      'transforms.place.partition.field': 'kafka_partition',
      'transforms.place.offset.field': 'kafka_offset',
      'transforms.place.timestamp.field': 'kafka_time',
    },
  }
  const workerFile = join(folder, 'worker.properties')
  const connectorFile = join(folder, 'connector.json')
  writeFileSync(
    workerFile,
    Object.entries(worker)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  )
  writeFileSync(connectorFile, JSON.stringify(connector))
  const flags = ['-Xms512m', '-Xmx1g', '-XX:+UseG1GC', `-Dlog4j2.configurationFile=${logging}`, '-cp', classPath]
  const words = ['org.apache.kafka.connect.cli.ConnectStandalone', workerFile, connectorFile]
  const child = startChild([java, ...flags, ...words], join(logs, 'connect.log'))
  await running(`http://127.0.0.1:${port}/connectors/${connector.name}/status`, child, world.signal)
  return child
}

/** When the worker says that the sink and its tasks run, or the worker has ended. */
async function running(url: string, { ended }: Started, signal: AbortSignal): Promise<void> {
  const isRunning = ({ state }: { state: string }) => state === 'RUNNING'
  let isOver = false
  void ended.then(() => {
    isOver = true
  })
  while (!isOver) {
    const found = await fetch(url)
      .then((response) => response.json() as Promise<{ connector?: { state: string }; tasks?: { state: string }[] }>)
      .catch(() => ({ connector: undefined, tasks: undefined }))
    if (found.connector && isRunning(found.connector) && found.tasks?.length === tasks && found.tasks.every(isRunning))
      return
    await sleep(200, undefined, { signal })
  }
}
