/**
 * One pass over the bytes of a JSON text: says whether PostgreSQL's jsonb will take it, and where the members of the outermost object lie.
 *
 * Why not JSON.parse: it builds objects nobody reads, rounds 30-digit numbers, merges duplicate keys in silence, and lets NUL and lone surrogates
 * through, each of which aborts a whole COPY. Positions let the encoder copy the producer's own bytes. Iterative, so no nesting overflows a stack.
 */

export const STRING = 1
export const STRING_ESCAPED = 2
export const NUMBER = 3
export const TRUE = 4
export const FALSE = 5
export const NULL = 6
export const OBJECT = 7
export const ARRAY = 8

export const membersMax = 256
export const depthMax = 128
/** Exponents beyond this are refused: jsonb stores numeric, whose exponent ends at 131,072 digits; nobody means such a number. */
export const exponentMax = 1000
export const digitsMax = 1000

export type ScanFault =
  | 'empty'
  | 'byte_order_mark'
  | 'not_json'
  | 'not_an_object'
  | 'truncated'
  | 'trailing_bytes'
  | 'too_deep'
  | 'too_many_attributes'
  | 'nul_character'
  | 'lone_surrogate'
  | 'control_character'
  | 'number_out_of_range'

/** The members of the outermost object, in order. Positions exclude the quotes of strings. Reused: valid until the next scan. */
export class Members {
  count = 0
  /** False when every byte is below 0x80: no UTF-8 check is owed. */
  nonAscii = false
  /** Where the value ended, or where the scan gave up. */
  end = 0
  readonly keyStart = new Int32Array(membersMax)
  readonly keyEnd = new Int32Array(membersMax)
  readonly keyEscaped = new Uint8Array(membersMax)
  readonly start = new Int32Array(membersMax)
  readonly stop = new Int32Array(membersMax)
  readonly kind = new Uint8Array(membersMax)
}

const plainInString = new Uint8Array(256).fill(1, 0x20)
plainInString[0x22] = 0
plainInString[0x5c] = 0
plainInString.fill(0, 0x80)

const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39

/** A scan of one value inside a larger buffer. State lives in the object so that helpers stay small and monomorphic. */
export class JsonScanner {
  #bytes: Uint8Array = new Uint8Array(0)
  #at = 0
  #end = 0
  #escaped = false
  #fault: ScanFault | null = null
  readonly #stack = new Uint8Array(depthMax)
  readonly members = new Members()

  /** Scans bytes[start, end) as an object; null means good, and `members` is filled. */
  object(bytes: Uint8Array, start: number, end: number): ScanFault | null {
    const fault = this.#begin(bytes, start, end)
    if (fault !== null) return fault
    if (bytes[this.#at] !== 0x7b) {
      const other = this.#value()
      if (other === 0) return this.#fault
      return this.#finish() ?? 'not_an_object'
    }
    if (!this.#outermost()) return this.#fault
    return this.#finish()
  }

  /** Scans bytes[start, end) as any one JSON value; null means good. */
  value(bytes: Uint8Array, start: number, end: number): ScanFault | null {
    const fault = this.#begin(bytes, start, end)
    if (fault !== null) return fault
    return this.#value() === 0 ? this.#fault : this.#finish()
  }

  #begin(bytes: Uint8Array, start: number, end: number): ScanFault | null {
    this.#bytes = bytes
    this.#at = start
    this.#end = end
    this.#fault = null
    this.members.count = 0
    this.members.nonAscii = false
    if (end - start >= 3 && bytes[start] === 0xef && bytes[start + 1] === 0xbb && bytes[start + 2] === 0xbf) {
      return 'byte_order_mark'
    }
    this.#at = this.#space(start)
    return this.#at >= end ? 'empty' : null
  }

  #finish(): ScanFault | null {
    this.members.end = this.#at
    this.#at = this.#space(this.#at)
    return this.#at < this.#end ? 'trailing_bytes' : null
  }

  #fail(fault: ScanFault, at = this.#at): false {
    this.#at = at
    this.members.end = at
    this.#fault ??= this.#at >= this.#end && fault === 'not_json' ? 'truncated' : fault
    return false
  }

  /** The position of the next byte that is no white space. */
  #space(from: number): number {
    const bytes = this.#bytes
    let at = from
    while (at < this.#end) {
      const byte = bytes[at]
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
      at++
    }
    return at
  }

  #outermost(): boolean {
    const bytes = this.#bytes
    const end = this.#end
    const members = this.members
    let at = this.#space(this.#at + 1)
    if (bytes[at] === 0x7d && at < end) {
      this.#at = at + 1
      return true
    }
    for (;;) {
      const index = members.count
      if (index === membersMax) return this.#fail('too_many_attributes', at)
      if (at >= end || bytes[at] !== 0x22) return this.#fail('not_json', at)
      members.keyStart[index] = at + 1
      this.#escaped = false
      at = this.#string(at)
      if (at === 0) return false
      members.keyEnd[index] = at - 1
      members.keyEscaped[index] = this.#escaped ? 1 : 0
      if ((bytes[at] as number) <= 0x20) at = this.#space(at)
      if (at >= end || bytes[at] !== 0x3a) return this.#fail('not_json', at)
      at++
      if ((bytes[at] as number) <= 0x20) at = this.#space(at)
      this.#at = at
      const kind = this.#value()
      if (kind === 0) return false
      const isString = kind === STRING || kind === STRING_ESCAPED
      members.start[index] = isString ? at + 1 : at
      at = this.#at
      members.stop[index] = isString ? at - 1 : at
      members.kind[index] = kind
      members.count = index + 1
      if ((bytes[at] as number) <= 0x20) at = this.#space(at)
      if (at >= end) return this.#fail('truncated', at)
      const mark = bytes[at]
      at++
      if (mark === 0x7d) {
        this.#at = at
        return true
      }
      if (mark !== 0x2c) return this.#fail('not_json', at)
      if ((bytes[at] as number) <= 0x20) at = this.#space(at)
    }
  }

  /** Any value from #at on; its kind, or 0 with #fault set. Containers are walked with a stack of their own. */
  #value(): number {
    const bytes = this.#bytes
    const first = bytes[this.#at]
    if (this.#at >= this.#end) {
      this.#fail('truncated')
      return 0
    }
    if (first === 0x22) {
      this.#escaped = false
      const at = this.#string(this.#at)
      if (at === 0) return 0
      this.#at = at
      return this.#escaped ? STRING_ESCAPED : STRING
    }
    if (first !== 0x7b && first !== 0x5b) return this.#scalar(first as number)
    return this.#container() ? (first === 0x7b ? OBJECT : ARRAY) : 0
  }

  #container(): boolean {
    const bytes = this.#bytes
    const end = this.#end
    const stack = this.#stack
    let at = this.#at
    let depth = 0
    // Each turn stands where a value begins, white space apart; closing brackets are taken in the inner loop.
    for (;;) {
      if ((bytes[at] as number) <= 0x20) at = this.#space(at)
      if (at >= end) return this.#fail('truncated', at)
      const byte = bytes[at] as number
      let closed = true
      if (byte === 0x22) {
        at = this.#string(at)
        if (at === 0) return false
      } else if (byte === 0x7b || byte === 0x5b) {
        // One level is the envelope's own.
        if (depth === depthMax - 1) return this.#fail('too_deep', at)
        stack[depth++] = byte
        at++
        if ((bytes[at] as number) <= 0x20) at = this.#space(at)
        if (at < end && bytes[at] === (byte === 0x7b ? 0x7d : 0x5d)) {
          at++
          depth--
        } else closed = false
      } else {
        this.#at = at
        if (this.#scalar(byte) === 0) return false
        at = this.#at
      }

      if (closed) {
        for (;;) {
          if (depth === 0) {
            this.#at = at
            return true
          }
          if ((bytes[at] as number) <= 0x20) at = this.#space(at)
          if (at >= end) return this.#fail('truncated', at)
          const mark = bytes[at]
          if (mark === 0x2c) break
          if (mark !== (stack[depth - 1] === 0x7b ? 0x7d : 0x5d)) return this.#fail('not_json', at)
          at++
          depth--
        }
        at++
      }
      if (stack[depth - 1] === 0x7b) {
        if ((bytes[at] as number) <= 0x20) at = this.#space(at)
        if (at >= end || bytes[at] !== 0x22) return this.#fail('not_json', at)
        at = this.#string(at)
        if (at === 0) return false
        if ((bytes[at] as number) <= 0x20) at = this.#space(at)
        if (at >= end || bytes[at] !== 0x3a) return this.#fail('not_json', at)
        at++
      }
    }
  }

  /** A string from its opening quote on; the position after its closing one, or 0. Sets #escaped if it has escapes. Most are a single loop. */
  #string(from: number): number {
    const bytes = this.#bytes
    let at = from + 1
    while (plainInString[bytes[at] as number] === 1) at++
    return bytes[at] === 0x22 && at < this.#end ? at + 1 : this.#oddString(at)
  }

  /** The same from the first byte on that is not plain. */
  #oddString(from: number): number {
    const bytes = this.#bytes
    const end = this.#end
    let at = from
    for (;;) {
      if (at >= end) return this.#bad('truncated', end)
      const byte = bytes[at] as number
      if (byte === 0x22) return at + 1
      if (byte >= 0x80) {
        this.members.nonAscii = true
        at++
      } else if (byte === 0x5c) {
        this.#escaped = true
        this.#at = at
        at = this.#escape(at)
        if (at === 0) return 0
      } else return this.#bad(byte === 0 ? 'nul_character' : 'control_character', at)
      while (plainInString[bytes[at] as number] === 1) at++
    }
  }

  /** One escape from its backslash; the position after it, or 0. A surrogate pair is one escape here. */
  #escape(at: number): number {
    const bytes = this.#bytes
    if (at + 1 >= this.#end) {
      this.#at = this.#end
      this.#fail('truncated')
      return 0
    }
    switch (bytes[at + 1]) {
      case 0x22:
      case 0x5c:
      case 0x2f:
      case 0x62:
      case 0x66:
      case 0x6e:
      case 0x72:
      case 0x74:
        return at + 2
      case 0x75: {
        const unit = this.#hex(at + 2)
        if (unit < 0) return 0
        if (unit === 0) return this.#bad('nul_character')
        if (unit < 0xd800 || unit > 0xdfff) return at + 6
        if (unit > 0xdbff || bytes[at + 6] !== 0x5c || bytes[at + 7] !== 0x75 || at + 12 > this.#end) {
          return this.#bad('lone_surrogate')
        }
        const low = this.#hex(at + 8)
        if (low < 0) return 0
        return low >= 0xdc00 && low <= 0xdfff ? at + 12 : this.#bad('lone_surrogate')
      }
      default:
        return this.#bad('not_json')
    }
  }

  #bad(fault: ScanFault, at = this.#at): 0 {
    this.#fail(fault, at)
    return 0
  }

  #hex(from: number): number {
    if (from + 4 > this.#end) {
      this.#at = this.#end
      this.#fail('truncated')
      return -1
    }
    let unit = 0
    for (let at = from; at < from + 4; at++) {
      const byte = this.#bytes[at] as number
      const lower = byte | 0x20
      if (isDigit(byte)) unit = unit * 16 + byte - 0x30
      else if (lower >= 0x61 && lower <= 0x66) unit = unit * 16 + lower - 0x57
      else {
        this.#fail('not_json')
        return -1
      }
    }
    return unit
  }

  #scalar(first: number): number {
    if (first === 0x74) return this.#word('true') ? TRUE : 0
    if (first === 0x66) return this.#word('false') ? FALSE : 0
    if (first === 0x6e) return this.#word('null') ? NULL : 0
    return this.#number() ? NUMBER : 0
  }

  #word(word: string): boolean {
    for (let i = 0; i < word.length; i++) {
      if (this.#at + i >= this.#end) {
        this.#at = this.#end
        return this.#fail('truncated')
      }
      if (this.#bytes[this.#at + i] !== word.charCodeAt(i)) return this.#fail('not_json')
    }
    this.#at += word.length
    return true
  }

  #number(): boolean {
    const bytes = this.#bytes
    const end = this.#end
    let at = this.#at
    const from = at
    if (bytes[at] === 0x2d) at++
    if (at >= end || !isDigit(bytes[at] as number)) {
      this.#at = at
      return this.#fail('not_json')
    }
    if (bytes[at] === 0x30) at++
    else while (at < end && isDigit(bytes[at] as number)) at++
    if (at < end && bytes[at] === 0x2e) {
      const fraction = ++at
      while (at < end && isDigit(bytes[at] as number)) at++
      if (at === fraction) {
        this.#at = at
        return this.#fail('not_json')
      }
    }
    if (at - from > digitsMax) return this.#fail('number_out_of_range')
    if (at < end && ((bytes[at] as number) | 0x20) === 0x65) {
      at++
      if (at < end && (bytes[at] === 0x2b || bytes[at] === 0x2d)) at++
      const exponent = at
      let value = 0
      while (at < end && isDigit(bytes[at] as number)) {
        value = Math.min(value * 10 + (bytes[at] as number) - 0x30, exponentMax + 1)
        at++
      }
      if (at === exponent) {
        this.#at = at
        return this.#fail('not_json')
      }
      if (value > exponentMax) return this.#fail('number_out_of_range')
    }
    this.#at = at
    return true
  }
}
