/**
 * Loaded before everything else in a process whose clock shall be wrong (NODE_OPTIONS=--import): the wall clock is off by as many milliseconds as the
 * file named by CHAOS_CLOCK says, looked at again and again. The steady clock and timers stay as they are, as when a machine's clock is set.
 */
import { readFileSync } from 'node:fs'

const path = process.env.CHAOS_CLOCK
const RealDate = Date
const realNow = Date.now
let shiftMs = 0

function look() {
  try {
    shiftMs = Number(readFileSync(path, 'utf8')) || 0
  } catch {
    // not there: the clock is right
  }
}

if (path) {
  look()
  setInterval(look, 50).unref()
  RealDate.now = () => realNow() + shiftMs
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, given, made) => Reflect.construct(target, given.length === 0 ? [target.now()] : given, made),
    apply: (target) => new target(target.now()).toString(),
  })
}
