/** Where the pictures go: a screen redrawn in place on a terminal, a plain line a second elsewhere. Between the two ends only this writes. */
import { renderFrame } from './frame.ts'
import { renderLine } from './line.ts'
import type { Picture } from './picture.ts'
import { openScreen, type Terminal } from './screen.ts'
import type { Style } from './style.ts'

export interface Output extends Terminal {
  readonly isTerminal: boolean
}

export interface View {
  show(picture: Picture): void
  /** Leaves a last frame, or line, behind. */
  close(): void
}

const lineMs = 1000

export function openView(output: Output, style: Style, now: () => number): View {
  if (output.isTerminal) {
    const screen = openScreen(output)
    return {
      show: (picture) => screen.draw(renderFrame(picture, output, style)),
      close: () => screen.close(),
    }
  }
  let lastMs = Number.NEGATIVE_INFINITY
  return {
    show(picture) {
      // Looks come every 400 ms; a little early is better than a second late.
      if (now() - lastMs < lineMs - 100) return
      lastMs = now()
      output.write(`${renderLine(picture)}\n`)
    },
    close() {},
  }
}

/** Colours unless somebody asked for none (no-color.org); block characters where the locale can show them. */
export function styleOf(env: Readonly<Record<string, string | undefined>>, isTerminal: boolean): Style {
  const { NO_COLOR = '', TERM = '', LC_ALL = '', LC_CTYPE = '', LANG = '' } = env
  return {
    colours: isTerminal && NO_COLOR === '' && TERM !== 'dumb',
    unicode: /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG) || TERM.startsWith('tmux') || LC_ALL + LC_CTYPE + LANG === '',
  }
}
