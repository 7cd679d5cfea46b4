/** RFC 3986 by the byte: is this a URI-reference, and has it a scheme? What a pattern would cost for every event, a table and one pass do not. */

const PLAIN = 1
const COLON = 2
const DELIMITER = 3
const PERCENT = 4
const HASH = 5
const BRACKET = 6

const classes = new Uint8Array(256)
const put = (characters: string, as: number) => {
  for (let i = 0; i < characters.length; i++) classes[characters.charCodeAt(i)] = as
}
put("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=@", PLAIN)
put(':', COLON)
put('/?', DELIMITER)
put('%', PERCENT)
put('#', HASH)
put('[]', BRACKET)

export const NO_URI = 0
export const RELATIVE = 1
export const ABSOLUTE = 2

const isHex = (byte: number | undefined) => byte !== undefined && /[0-9A-Fa-f]/.test(String.fromCharCode(byte))
const hasScheme = /^[A-Za-z][A-Za-z0-9+.-]*$/
/** Square brackets are for the address of a host alone. */
const withAddress = /^([A-Za-z][A-Za-z0-9+.-]*:)?\/\/([^/?#[\]@]*@)?\[[0-9A-Fa-fv:.]+\](:[0-9]*)?([/?#][^[\]]*)?$/

/** NO_URI, RELATIVE (a reference without a scheme) or ABSOLUTE. */
export function uriKind(bytes: Buffer, start: number, end: number): number {
  let kind = RELATIVE
  let inFirstSegment = true
  let hashes = 0
  let brackets = false
  for (let at = start; at < end; at++) {
    switch (classes[bytes[at] as number]) {
      case PLAIN:
        break
      case COLON:
        if (!inFirstSegment) break
        // By the letter, a colon before any slash ends a scheme. my_service:prod is let through all the same: the official package takes it too.
        if (hasScheme.test(bytes.toString('latin1', start, at))) kind = ABSOLUTE
        inFirstSegment = false
        break
      case DELIMITER:
        inFirstSegment = false
        break
      case PERCENT:
        if (at + 2 >= end || !isHex(bytes[at + 1]) || !isHex(bytes[at + 2])) return NO_URI
        at += 2
        break
      case HASH:
        inFirstSegment = false
        if (++hashes > 1) return NO_URI
        break
      case BRACKET:
        brackets = true
        break
      default:
        return NO_URI
    }
  }
  return brackets && !withAddress.test(bytes.toString('latin1', start, end)) ? NO_URI : kind
}
