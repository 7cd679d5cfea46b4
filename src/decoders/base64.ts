/** RFC 4648 base64, padded, as CloudEvents' JSON format has it. Node's own decoder takes anything and leaves out what it does not know. */

const legal = new Uint8Array(256)
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')
  legal[character.charCodeAt(0)] = 1

/** The bytes, or null where the text is not base64. */
export function decodeBase64(bytes: Buffer, start: number, end: number): Buffer | null {
  if ((end - start) % 4 !== 0) return null
  let last = end
  while (last > start && end - last < 2 && bytes[last - 1] === 0x3d) last--
  for (let at = start; at < last; at++) if (legal[bytes[at] as number] === 0) return null
  return Buffer.from(bytes.toString('latin1', start, end), 'base64')
}
