// Runs before the first paint, so that a dark page does not flash white. A file of its own, not an
// inline script, because the page's CSP allows scripts from its own origin only.
try {
  const saved = localStorage.getItem('mantine-color-scheme-value') || 'auto'
  const dark = saved === 'auto' ? matchMedia('(prefers-color-scheme: dark)').matches : saved === 'dark'
  document.documentElement.setAttribute('data-mantine-color-scheme', dark ? 'dark' : 'light')
} catch {
  document.documentElement.setAttribute('data-mantine-color-scheme', 'light')
}
