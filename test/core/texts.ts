/** JSON texts for the tests, as bytes: proper ones, damaged ones, and noise. */
import fc from 'fast-check'

const space = fc.constantFrom('', '', '', ' ', '\n', '\t ', '\r\n')
const hex4 = (unit: number) => `\\u${unit.toString(16).padStart(4, '0')}`

/** A character of a JSON string in one of the ways it can be written; among them the ones that no database takes. */
const stringPart = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.string({ unit: 'grapheme', maxLength: 4 }).map((text) => JSON.stringify(text).slice(1, -1)),
  },
  { weight: 2, arbitrary: fc.constantFrom('\\"', '\\\\', '\\/', '\\b', '\\f', '\\n', '\\r', '\\t') },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 0xd7ff }).map(hex4) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 0x10000, max: 0x10ffff }).map((code) => {
      const pair = String.fromCodePoint(code)
      return hex4(pair.charCodeAt(0)) + hex4(pair.charCodeAt(1)).toUpperCase().replace('U', 'u')
    }),
  },
)
export const cleanString = fc.array(stringPart, { maxLength: 5 }).map((parts) => `"${parts.join('')}"`)

const number = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.bigInt().map(String),
  fc.constantFrom(
    '0',
    '-0',
    '-0.0',
    '1e5',
    '1E+05',
    '2.50e-0',
    '1e1000',
    '1e-1000',
    '0e0',
    `1${'0'.repeat(999)}`,
    `0.${'3'.repeat(998)}`,
  ),
)

/** Pairs of a member's key and value, each as it stands in the text. */
export type Pairs = readonly (readonly [key: string, value: string])[]

const { value: anyValue, pairs: anyPairs } = fc.letrec<{ value: string; pairs: Pairs }>((tie) => ({
  pairs: fc.array(fc.tuple(cleanString, tie('value')), { maxLength: 4 }),
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('true', 'false', 'null'),
    number,
    cleanString,
    fc
      .tuple(space, fc.array(tie('value'), { maxLength: 4 }))
      .map(([gap, all]) => `[${gap}${all.join(`${gap},`)}${gap}]`),
    fc.tuple(space, tie('pairs')).map(([gap, all]) => objectText(all, gap)),
  ),
}))

export function objectText(pairs: Pairs, gap = ''): string {
  return `{${gap}${pairs.map(([key, value]) => `${key}${gap}:${gap}${value}`).join(`${gap},${gap}`)}${gap}}`
}
export const value = anyValue
export const pairs = anyPairs
export const gap = space

const splinter = fc.oneof(
  fc
    .constantFrom(
      ...'{}[],:"\\/utfn0123456789eE+-. \n\t'.split(''),
      '\\u0000',
      '\\ud800',
      '\\udc00',
      '\\ud83d\\ude00',
      '\\ud83d\\u0041',
      '\\u12',
      '1e9999',
      '1e-9999',
      '01',
      '1.',
      '.5',
      '-',
      'NaN',
      'Infinity',
      'nul',
      'truE',
      '\ufeff',
      "'",
      '//',
      '"a":1',
      ',,',
      '[[[[',
      '\u2028',
      '\u00a0',
    )
    .map((text) => Buffer.from(text)),
  fc.constantFrom(0, 1, 0x1f, 0x7f, 0x80, 0xbf, 0xc0, 0xe2, 0xed, 0xf4, 0xf8, 0xff).map((byte) => Buffer.of(byte)),
  fc.constantFrom('eda080', 'c080', 'f4908080', 'e28082').map((hex) => Buffer.from(hex, 'hex')),
)

/** A proper text with some bytes taken out and splinters put in. */
const damaged = fc
  .tuple(value, fc.array(fc.tuple(fc.nat(), fc.nat(3), splinter), { minLength: 1, maxLength: 3 }))
  .map(([text, edits]) => {
    let bytes = Buffer.from(text)
    for (const [where, removed, put] of edits) {
      const at = where % (bytes.length + 1)
      bytes = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + removed)])
    }
    return bytes
  })

export const text = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(space, value, space).map((parts) => Buffer.from(parts.join(''))) },
  { weight: 6, arbitrary: damaged },
  { weight: 2, arbitrary: fc.array(splinter, { maxLength: 6 }).map((all) => Buffer.concat(all)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }).map((array) => Buffer.from(array)) },
)
