/** The look: one brand colour, compact sizes, and the overrides that make Mantine pass AA contrast. */
import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from '@mantine/core'

const brand: MantineColorsTuple = [
  '#e6fcf8',
  '#d3f5ee',
  '#a8ebdd',
  '#7ae0cb',
  '#54d7bc',
  '#3cd1b2',
  '#14b8a6',
  '#0d9488',
  '#0b7f76',
  '#046c64',
]

/** Mantine's own dark greys are neutral; these carry the tint of our tokens in app.css. */
const dark: MantineColorsTuple = [
  '#d5dadc',
  '#b8c0c4',
  '#8b969c',
  '#6d777c',
  '#343a3d',
  '#2a3032',
  '#1d2122',
  '#181b1c',
  '#131516',
  '#0e1011',
]

export const theme = createTheme({
  primaryColor: 'brand',
  primaryShade: 8,
  colors: { brand, dark },
  autoContrast: true,
  luminanceThreshold: 0.35,
  fontFamily: '"Geist Variable", system-ui, sans-serif',
  fontFamilyMonospace: '"Geist Mono Variable", ui-monospace, monospace',
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.25rem' },
  headings: { fontWeight: '620' },
  // Plain objects: naming the components by import would load each of them on the sign-in page.
  components: {
    ActionIcon: { defaultProps: { variant: 'subtle', color: 'gray' } },
    Badge: { defaultProps: { tt: 'none', fw: 500, radius: 'sm' } },
    Button: { defaultProps: { size: 'xs' } },
    Menu: { defaultProps: { shadow: 'md', radius: 'md' } },
    Modal: {
      defaultProps: { centered: true, radius: 'lg', closeButtonProps: { 'aria-label': 'Close' } },
      styles: { title: { fontSize: 15, fontWeight: 600 } },
    },
    Notification: { defaultProps: { closeButtonProps: { 'aria-label': 'Close' } } },
    PasswordInput: { defaultProps: { size: 'sm' } },
    Select: { defaultProps: { size: 'sm' } },
    Textarea: { defaultProps: { size: 'sm' } },
    TextInput: { defaultProps: { size: 'sm' } },
    Tooltip: { defaultProps: { openDelay: 400, withArrow: true, fz: 'xs' } },
  },
})

/** Plain CSS would lose to Mantine's injected style, and its default `dimmed` is 3.3:1. */
export const cssVariablesResolver: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    '--mantine-color-dimmed': '#5b656d',
    '--mantine-color-placeholder': '#6b757c',
    '--mantine-color-error': '#c92a2a',
    '--mantine-color-text': '#16191b',
  },
  dark: {
    '--mantine-color-dimmed': '#9aa5ab',
    '--mantine-color-placeholder': '#8b969c',
    '--mantine-color-body': '#181b1c',
    '--mantine-color-text': '#e4e8ea',
    '--mantine-color-default': '#1d2122',
    '--mantine-color-default-hover': '#24292b',
    '--mantine-color-default-border': '#343a3d',
    '--mantine-color-error': '#ff8787',
  },
})
