/** The proof at the end of a run: everything that Kafka holds must be stored and published. On a terminal it tells how far it is. */
import type { Output } from '../live/view.ts'
import { progressLine, type VerifyDeploymentOptions, verifyDeployment } from '../verify/command.ts'
import type { VerifyResult } from '../verify/verify.ts'

export async function prove(options: VerifyDeploymentOptions, { isTerminal, write }: Output): Promise<VerifyResult> {
  write(isTerminal ? '' : 'verifying\n')
  try {
    return await verifyDeployment({
      ...options,
      toEnd: true,
      ...(isTerminal && { onProgress: (progress) => write(`\r\x1b[2K${progressLine(progress)}`) }),
    })
  } finally {
    if (isTerminal) write('\r\x1b[2K')
  }
}
