/**
 * Certificates made on the spot, with nothing but node:crypto: an authority, and servers and clients that it vouches for, under any name and for any
 * time. X.509 is a handful of nested values in DER; writing them here needs no openssl and no keytool, which not every machine has, and an expired
 * certificate is one like any other.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIPv4 } from 'node:net'

export interface Pem {
  readonly certificate: string
  readonly key: string
}

export interface Authority {
  /** Its own certificate. */
  readonly certificate: string
  issue(options: { readonly name: string; readonly hosts?: readonly string[]; readonly validUntil?: number }): Pem
}

const dayMs = 86_400_000
const ecdsaWithSha256 = '1.2.840.10045.4.3.2'
const commonName = '2.5.4.3'
const basicConstraints = '2.5.29.19'
const keyUsage = '2.5.29.15'
const subjectAltName = '2.5.29.17'

/** Times count from `now`, as everything here is made to be thrown away soon. */
export function makeAuthority(name: string, now: number): Authority {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const make = (subject: string, key: KeyObject, until: number, extensions: Buffer[]) => {
    const algorithm = sequence(oid(ecdsaWithSha256))
    const body = sequence(
      der(0xa0, der(0x02, Buffer.from([2]))),
      integer(randomBytes(12)),
      algorithm,
      nameOf(name),
      sequence(time(now - 30 * dayMs), time(until)),
      nameOf(subject),
      key.export({ type: 'spki', format: 'der' }),
      der(0xa3, sequence(...extensions)),
    )
    return pem(sequence(body, algorithm, bits(sign('sha256', body, own.privateKey))))
  }
  const canSign = [extension(basicConstraints, sequence(der(0x01, Buffer.from([0xff])))), extension(keyUsage, certSign)]
  return {
    certificate: make(name, own.publicKey, now + dayMs, canSign),
    issue({ name: subject, hosts = [], validUntil = now + dayMs }) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const names = hosts.map((host) =>
        isIPv4(host) ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, Buffer.from(host)),
      )
      const extensions = [
        extension(basicConstraints, sequence()),
        ...(names.length > 0 ? [extension(subjectAltName, sequence(...names))] : []),
      ]
      return {
        certificate: make(subject, publicKey, validUntil, extensions),
        key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
      }
    },
  }
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const size = body.length < 128 ? [body.length] : [0x82, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), body])
}

const sequence = (...parts: readonly Buffer[]) => der(0x30, ...parts)
/** Positive: a first byte with its highest bit set would mean a negative number, and a zero too many is not allowed. */
const integer = (bytes: Buffer) =>
  der(0x02, Buffer.from(bytes.map((byte, at) => (at === 0 ? (byte & 0x3f) | 0x01 : byte))))
const bits = (bytes: Buffer) => der(0x03, Buffer.from([0]), bytes)
const nameOf = (text: string) => sequence(der(0x31, sequence(oid(commonName), der(0x0c, Buffer.from(text)))))
/** 20261121130000Z */
const time = (ms: number) => der(0x18, Buffer.from(`${new Date(ms).toISOString().slice(0, 19).replaceAll(/\D/g, '')}Z`))
const extension = (id: string, value: Buffer) => sequence(oid(id), der(0x01, Buffer.from([0xff])), der(0x04, value))
const certSign = der(0x03, Buffer.from([2, 0x04]))

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number)
  const bytes = [first * 40 + second]
  for (const part of rest) {
    const digits = [part & 127]
    for (let left = part >> 7; left > 0; left >>= 7) digits.unshift((left & 127) | 128)
    bytes.push(...digits)
  }
  return der(0x06, Buffer.from(bytes))
}

const pem = (bytes: Buffer) =>
  `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd()}\n-----END CERTIFICATE-----\n`
