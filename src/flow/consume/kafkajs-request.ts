/** The body of a request that is written here, not by kafkajs: what its own encoder takes for another encoder. */
export const encoded = (buffer: Buffer) => ({ buf: buffer, buffer, size: () => buffer.length })
