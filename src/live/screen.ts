/**
 * Draws frames in place. On the terminal's other screen, so that a resize leaves no debris and what was there before comes back; the last frame is
 * then printed below it, to stay in the scrollback. Each frame is one write, between the marks of a synchronised update: no flicker.
 */

export interface Terminal {
  write(text: string): void
  readonly columns: number
  readonly rows: number
}

export interface Screen {
  draw(lines: readonly string[]): void
  /** Gives the terminal back, with the last frame. Again: nothing. */
  close(): void
}

const enter = '\x1b[?1049h\x1b[?25l'
const leave = '\x1b[?25h\x1b[?1049l'
const home = '\x1b[H'
const restOfLine = '\x1b[K'
const restOfScreen = '\x1b[J'
const begin = '\x1b[?2026h'
const end = '\x1b[?2026l'

export function openScreen(terminal: Terminal): Screen {
  let last: readonly string[] = []
  let open = true
  terminal.write(enter)
  return {
    draw(lines) {
      if (!open) return
      last = lines
      terminal.write(`${begin}${home}${lines.map((line) => `${line}${restOfLine}`).join('\r\n')}${restOfScreen}${end}`)
    },
    close() {
      if (!open) return
      open = false
      terminal.write(`${leave}${last.length > 0 ? `${last.join('\n')}\n` : ''}`)
    },
  }
}
