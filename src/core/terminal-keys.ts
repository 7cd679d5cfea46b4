/** What a terminal sends, as keys: several come in one piece when they are pressed fast, and some are several characters. Pure. */

export const keysOf = (text: string): string[] =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal sends
  text.match(/\x1b\[[0-9;]*[A-Za-z~]|\x1bO[A-Za-z]|\x1b|[^\x1b]/gu) ?? []
