/** Serves the page of the whole fleet to browsers on this machine. */
import { FatalError } from '../core/errors.ts'
import { hidePassword } from '../core/settings-kinds.ts'
import { pageRoutes } from '../live/page.ts'
import type { Picture } from '../live/picture.ts'
import { type Answers, serveAnswers } from '../process/serve-answers.ts'

/** Where it is unless another one has it: then any free port. */
const usualPort = 4680

/** `port`: exactly this one; null: the usual one, or any. */
export async function serveFleetPage(port: number | null, picture: () => Picture): Promise<Answers> {
  const routes = pageRoutes(() => withoutPasswords(picture()), 'the fleet')
  const serve = (chosen: number) =>
    serveAnswers({
      host: '127.0.0.1',
      port: chosen,
      name: "The fleet page's port",
      portSetting: '--page-port',
      hostSetting: '--page-port',
      routes,
      onError() {},
    })
  if (port !== null) return serve(port)
  try {
    return await serve(usualPort)
  } catch (error) {
    if (error instanceof FatalError && error.code === 'PORT_BUSY') return serve(0)
    throw error
  }
}

/** A terminal is its owner's; a port is anybody's on this machine. */
export function withoutPasswords(picture: Picture): Picture {
  const hidden = (address: string) =>
    address
      .split(',')
      .map((one) => (one.includes('://') ? hidePassword(one) : one))
      .join(',')
  return { ...picture, addresses: picture.addresses.map(([name, address]) => [name, hidden(address)] as const) }
}
