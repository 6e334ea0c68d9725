/** Colours of the terminal. Background and foreground are those that the bridge tells the program. */
import type { ITheme } from '@xterm/xterm'

export const PALETTES: Record<'light' | 'dark', ITheme> = {
  dark: {
    background: '#16181d',
    foreground: '#e6e6e6',
    cursor: '#e6e6e6',
    selectionBackground: '#3b4252',
    black: '#16181d',
    brightBlack: '#8b93a1',
  },
  light: {
    background: '#ffffff',
    foreground: '#1f2328',
    cursor: '#1f2328',
    selectionBackground: '#b6d7ff',
    black: '#1f2328',
    red: '#b3261e',
    green: '#1a7f37',
    yellow: '#7d5700',
    blue: '#0550ae',
    magenta: '#8250df',
    cyan: '#1b6e7a',
    white: '#6e7781',
    brightBlack: '#57606a',
    brightRed: '#a40e26',
    brightGreen: '#116329',
    brightYellow: '#633c01',
    brightBlue: '#0a3069',
    brightMagenta: '#6639ba',
    brightCyan: '#145c66',
    brightWhite: '#24292f',
  },
}
