/**
 * The context of a trace as producers send it (W3C Trace Context), read from bytes. Only sampled contexts are of interest: they are followed. What
 * is malformed is no context, and never an error.
 */

export interface TraceContext {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  /** Of a context that came with an event: the producer's span. 16 lower-case hex digits. */
  readonly spanId: string
  /** What a vendor wants handed on with it; null: nothing. */
  readonly state: string | null
}

const textBytes = 55
/** The standard asks that so much of a tracestate be handed on; a longer one is left behind. */
export const stateBytesMax = 512
const dash = 0x2d

/** Of two hex digits; -1 where they are none. */
function hexByte(bytes: Uint8Array, at: number): number {
  const high = hexDigit(bytes[at] as number)
  const low = hexDigit(bytes[at + 1] as number)
  return high < 0 || low < 0 ? -1 : high * 16 + low
}

/** Lower case only, as the standard has it. */
function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  return byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1
}

/** Hex digits, not all of them zero. */
function isId(bytes: Uint8Array, start: number, end: number): boolean {
  let some = false
  for (let at = start; at < end; at++) {
    if (hexDigit(bytes[at] as number) < 0) return false
    some ||= bytes[at] !== 0x30
  }
  return some
}

/** The ids of a `traceparent` in [start, end); null where it is malformed. */
export function readParent(
  bytes: Buffer,
  start: number,
  end: number,
): Omit<TraceContext, 'state'> | 'unsampled' | null {
  const size = end - start
  if (size < textBytes) return null
  const flags = hexByte(bytes, start + 53)
  if (flags < 0) return null
  // Most are not sampled, and nothing more needs to be known of them.
  if ((flags & 1) === 0) return 'unsampled'
  const version = hexByte(bytes, start)
  if (version < 0 || version === 0xff) return null
  // A later version may say more behind another dash.
  if (size > textBytes && (version === 0 || bytes[start + textBytes] !== dash)) return null
  if (bytes[start + 2] !== dash || bytes[start + 35] !== dash || bytes[start + 52] !== dash) return null
  if (!isId(bytes, start + 3, start + 35) || !isId(bytes, start + 36, start + 52)) return null
  return {
    traceId: bytes.toString('latin1', start + 3, start + 35),
    spanId: bytes.toString('latin1', start + 36, start + 52),
  }
}

/** A `tracestate` in [start, end), unread; null where it could not be handed on as it is. */
export function readState(bytes: Buffer, start: number, end: number): string | null {
  if (end === start || end - start > stateBytesMax) return null
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    if (byte < 0x20 || byte > 0x7e) return null
  }
  return bytes.toString('latin1', start, end)
}

export const traceparentOf = ({ traceId, spanId }: TraceContext): string => `00-${traceId}-${spanId}-01`
