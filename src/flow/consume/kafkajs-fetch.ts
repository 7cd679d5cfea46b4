/**
 * kafkajs's fetch, done otherwise: within a session (kafkajs-fetch-session.ts), and read by record batch instead of by record. kafkajs makes some ten
 * objects per record (two Longs and two strings among them), which was a third of the main thread's time and most of its garbage; here a batch becomes
 * one message that carries the records as they lie in the log, still compressed, and the workers walk through them.
 *
 * kafkajs's own bookkeeping goes on working: the message bears the batch's last offset. What must be passed over (control batches, aborted
 * transactions) is a message without a run, so that it passes the gate like any other: were it marked as a control record, a fetch of nothing else
 * would move the client on behind the handlers' back, and a partition that ends in an aborted transaction would never be settled. kafkajs's filter
 * for aborted transactions is not used: it takes one transaction off the list per message, and any record with a key of four zero bytes for an end mark.
 *
 * This replaces the fetch of kafkajs's brokers for the whole process; kafkajs is pinned to the version whose insides are known. Where it is another one,
 * installFetch() answers false and messages come record by record.
 */
import type { RecordRun } from '../../core/record.ts'
import { createFetchSession, type FetchRequest, type FetchSession } from './kafkajs-fetch-session.ts'
import { kafkajsInsides, sendSymbol } from './kafkajs-insides.ts'
import { encoded } from './kafkajs-request.ts'

/** What kafkajs passes through to eachBatch. */
export interface RunMessage {
  readonly offset: string
  readonly timestamp: string
  readonly key: null
  readonly value: null
  readonly isControlRecord: false
  /** Null: there is nothing in it for us. */
  readonly run: RecordRun | null
}

interface Fetched {
  readonly throttleTime: number
  readonly clientSideThrottleTime: number
  readonly errorCode: number
  readonly sessionId: number
  readonly responses: readonly unknown[]
}

/** kafkajs's own, by which a partition's error is thrown with all that its recovery wants to know. */
interface ResponseModule {
  parse(data: Fetched): Promise<Fetched>
}

interface Broker {
  fetch(request: FetchRequest): Promise<Fetched>
  [send: symbol]: (call: object) => Promise<Fetched>
}

const fetchKey = 1
const version = 11
/** The broker has forgotten the session, or is elsewhere in it. */
const sessionErrors: readonly number[] = [70, 71]
/** As kafkajs has it: no request is given less than the client's own timeout, and a fetch no less than it may wait. */
const networkMs = 100

let installed: boolean | null = null

/** Call once, before the first fetch. */
export function installFetch(): boolean {
  installed ??= install()
  return installed
}

function install(): boolean {
  const require = kafkajsInsides()
  if (require === null) return false
  const broker = (require('kafkajs/src/broker') as { prototype: Broker }).prototype
  const send = sendSymbol(broker)
  if (send === undefined) return false
  const { parse } = require('kafkajs/src/protocol/requests/fetch/v11/response') as ResponseModule
  const { createErrorFromCode } = require('kafkajs/src/protocol/error') as {
    createErrorFromCode(code: number): Error
  }
  const sessions = new WeakMap<Broker, FetchSession>()
  broker.fetch = async function (request) {
    const session = sessions.get(this) ?? createFetchSession()
    sessions.set(this, session)
    const ask = async () => {
      const body = session.ask(request)
      const fetched = await this[send]!({
        request: { apiKey: fetchKey, apiVersion: version, apiName: 'Fetch', encode: async () => encoded(body) },
        response: { decode: async (payload: Buffer) => decodeFetch(payload), parse },
        requestTimeout: (request.maxWaitTime ?? 0) + networkMs,
      })
      if (fetched.errorCode === 0) session.answered(fetched.sessionId)
      else session.reset()
      return fetched
    }
    try {
      const fetched = await ask()
      const again = sessionErrors.includes(fetched.errorCode) ? await ask() : fetched
      if (again.errorCode !== 0) throw createErrorFromCode(again.errorCode)
      return again
    } catch (error) {
      session.reset()
      throw error
    }
  }
  return true
}

const number64 = (bytes: Buffer, at: number) => bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4)

interface Aborted {
  readonly producerId: number
  readonly firstOffset: number
}

export function decodeFetch(payload: Buffer): Fetched {
  let at = 0
  const int16 = () => {
    at += 2
    return payload.readInt16BE(at - 2)
  }
  const int32 = () => {
    at += 4
    return payload.readInt32BE(at - 4)
  }
  const int64 = () => {
    at += 8
    return number64(payload, at - 8)
  }
  const clientSideThrottleTime = int32()
  const errorCode = int16()
  const sessionId = int32()
  const responses: unknown[] = []
  for (let topics = int32(); topics > 0; topics--) {
    const nameBytes = int16()
    const topicName = payload.toString('utf8', at, at + nameBytes)
    at += nameBytes
    const partitions: unknown[] = []
    for (let count = int32(); count > 0; count--) {
      const partition = int32()
      const error = int16()
      const highWatermark = int64()
      const lastStableOffset = int64()
      const lastStartOffset = int64()
      const aborted: Aborted[] = []
      for (let left = int32(); left > 0; left--) aborted.push({ producerId: int64(), firstOffset: int64() })
      const preferredReadReplica = int32()
      const recordsBytes = Math.max(int32(), 0)
      const messages = readBatches(payload.subarray(at, at + recordsBytes), aborted)
      at += recordsBytes
      partitions.push({
        partition,
        errorCode: error,
        // Records behind the start of an open transaction cannot be had yet, so they are no lag.
        highWatermark: String(lastStableOffset >= 0 ? lastStableOffset : highWatermark),
        lastStableOffset: String(lastStableOffset),
        lastStartOffset: String(lastStartOffset),
        abortedTransactions: [],
        preferredReadReplica,
        messages,
      })
    }
    responses.push({ topicName, partitions })
  }
  // As kafkajs does: the broker has not throttled this request, it asks the client to hold back.
  return { throttleTime: 0, clientSideThrottleTime, errorCode, sessionId, responses }
}

/** Bytes of a record batch before its records: KIP-98. */
const headBytes = 61
const timestampAppended = 0x8
const transactional = 0x10
const control = 0x20

export function readBatches(bytes: Buffer, aborted: readonly Aborted[]): RunMessage[] {
  const messages: RunMessage[] = []
  const starting = aborted.toSorted((a, b) => a.firstOffset - b.firstOffset)
  /** Producers inside a transaction that will be aborted. */
  const dead = new Set<number>()
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const end = at + 12 + bytes.readInt32BE(at + 8)
    // The last batch may be cut off by the size limit of the fetch; it comes whole with the next one.
    if (end > bytes.length) break
    const magic = bytes[at + 16]
    if (magic !== 2) throw new Error(`a record batch of format ${magic}, from before Kafka 0.11, cannot be read`)
    const baseOffset = number64(bytes, at)
    const attributes = bytes.readInt16BE(at + 21)
    const lastOffset = baseOffset + bytes.readInt32BE(at + 23)
    const maxTimestampMs = number64(bytes, at + 35)
    const producerId = number64(bytes, at + 43)
    while (starting.length > 0 && (starting[0] as Aborted).firstOffset <= lastOffset) {
      dead.add((starting.shift() as Aborted).producerId)
    }
    const isControl = (attributes & control) !== 0
    const isDead = !isControl && (attributes & transactional) !== 0 && dead.has(producerId)
    if (isControl) dead.delete(producerId)
    messages.push({
      offset: String(lastOffset),
      timestamp: String(maxTimestampMs),
      key: null,
      value: null,
      isControlRecord: false,
      run:
        isControl || isDead
          ? null
          : {
              bytes: bytes.subarray(at + headBytes, end),
              codec: attributes & 7,
              baseOffset,
              lastOffset,
              count: bytes.readInt32BE(at + 57),
              baseTimestampMs: number64(bytes, at + 27),
              maxTimestampMs,
              appendTime: (attributes & timestampAppended) !== 0,
            },
    })
    at = end
  }
  return messages
}
