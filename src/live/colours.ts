/**
 * Colours, in one table: the page, the dashboards and the terminal give a room the same. Every text on this page is told apart from what it stands on
 * by at least 4.5 to 1 (WCAG 2, AA); a test works it out for each pair in `pairs`. Pure.
 */
import type { Room } from '../core/marks.ts'
import type { Colour } from './style.ts'

export interface RoomColour {
  /** On light ground. */
  readonly light: string
  /** On dark ground, and in Grafana. */
  readonly dark: string
  readonly terminal: Colour
}

export const roomColours: Readonly<Record<Room, RoomColour>> = {
  consume: { light: '#1d5fd1', dark: '#7aa7ff', terminal: 'blue' },
  decode: { light: '#6d3bd6', dark: '#b49bff', terminal: 'magenta' },
  persist: { light: '#0a7468', dark: '#45cfc1', terminal: 'cyan' },
  publish: { light: '#a84b06', dark: '#f5a155', terminal: 'yellow' },
  settle: { light: '#515c6e', dark: '#a9b4c4', terminal: 'white' },
}

export const themes = ['light', 'dark'] as const
export type Theme = (typeof themes)[number]

/** Grounds and inks of the page. */
export const surfaces: Readonly<Record<Theme, Readonly<Record<string, string>>>> = {
  light: {
    paper: '#f5f6f8',
    card: '#ffffff',
    ink: '#171c24',
    quiet: '#566074',
    rule: '#dfe3ea',
    line: '#7b8598',
    good: '#0b6b45',
    'good-bg': '#dff3e8',
    warn: '#854d0e',
    'warn-bg': '#fdf0d0',
    bad: '#b42318',
    'bad-bg': '#fde6e3',
    focus: '#1d5fd1',
  },
  dark: {
    paper: '#0e1117',
    card: '#161b24',
    ink: '#e7eaf0',
    quiet: '#9aa5b8',
    rule: '#2a3240',
    line: '#6b7689',
    good: '#63d4a3',
    'good-bg': '#123527',
    warn: '#f0c050',
    'warn-bg': '#3a2d0c',
    bad: '#ff9b91',
    'bad-bg': '#42201d',
    focus: '#7aa7ff',
  },
}

/** From nothing behind to hopeless, light to dark on light ground and dark to light on dark ground: one hue, so that order is seen without colour. */
export const heatColours: Readonly<Record<Theme, readonly string[]>> = {
  light: ['#e6ebf2', '#fbe3b5', '#f6bd6a', '#e8853a', '#c4451c', '#86150f'],
  dark: ['#232b38', '#4a3a17', '#7a5212', '#b8701f', '#ee9a55', '#ffd0ae'],
}

/** The ink that is read best on this ground: black or white. */
export const inkOn = (ground: string): string =>
  contrast(ground, '#10141b') >= contrast(ground, '#ffffff') ? '#10141b' : '#ffffff'

/** WCAG 2: from 1 to 21. Colours as #rrggbb. */
export function contrast(one: string, other: string): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b) as [number, number]
  return (high + 0.05) / (low + 0.05)
}

function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  }) as [number, number, number]
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

/** Every ink and ground that stand together somewhere on the page. */
export function pairs(theme: Theme): readonly (readonly [name: string, ink: string, ground: string])[] {
  const of = (name: string) => surfaces[theme][name] as string
  const onBoth = [...['ink', 'quiet', 'good', 'warn', 'bad'].map((name) => [name, of(name)] as const)]
  const inRooms = Object.entries(roomColours).map(([room, colour]) => [room, colour[theme]] as const)
  return [
    ...[...onBoth, ...inRooms].flatMap(([name, ink]) =>
      ['paper', 'card'].map((ground) => [`${name} on ${ground}`, ink, of(ground)] as const),
    ),
    ...['good', 'warn', 'bad'].map((name) => [`${name} on its own ground`, of(name), of(`${name}-bg`)] as const),
    ...heatColours[theme].map((ground, step) => [`heat ${step}`, inkOn(ground), ground] as const),
  ]
}

/** The table as variables of the page. */
export function colourRules(): string {
  const variables = (theme: Theme) =>
    [
      ...Object.entries(surfaces[theme]).map(([name, colour]) => `--${name}:${colour}`),
      ...Object.entries(roomColours).map(([room, colour]) => `--${room}:${colour[theme]}`),
      ...heatColours[theme].flatMap((colour, step) => [`--h${step}:${colour}`, `--h${step}-ink:${inkOn(colour)}`]),
    ].join(';')
  return `:root{${variables('light')}}@media (prefers-color-scheme:dark){:root{${variables('dark')}}}`
}
