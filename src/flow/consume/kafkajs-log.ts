/**
 * kafkajs's log lines as pino lines. kafkajs reports at `error` what it will retry by itself, and a rebalance or a broker's restart is everyday
 * life here: only what it gives up on is an error for a person to read; that arrives as an exception or as `consumer.crash`, not as a line.
 */
import kafkajs, { type LogEntry, type logCreator } from 'kafkajs'
import type { Logger } from 'pino'

export function kafkajsLog(logger: Pick<Logger, 'debug' | 'info' | 'warn'>): logCreator {
  const { ERROR, WARN, INFO } = kafkajs.logLevel
  return () =>
    ({ level, namespace, log }: LogEntry) => {
      const { message, timestamp: _, logger: __, stack: ___, ...rest } = log
      const fields = { from: namespace === '' ? 'kafkajs' : `kafkajs.${namespace}`, ...rest }
      // One step down each: kafkajs's error is our warning, its warning and its info are for whoever asks for detail.
      if (level === ERROR) logger.warn(fields, message)
      else if (level === WARN) logger.info(fields, message)
      else if (level === INFO) logger.debug(fields, message)
    }
}

/** For tools that have no log: only exceptions count. */
export const quietLogger: logCreator = () => () => {}
