/** The accessibility faults of what a test rendered; jsdom draws nothing, so contrast is left to the browser tests. */
import axe from 'axe-core'

export async function violations(container: HTMLElement): Promise<string[]> {
  const result = await axe.run(container, { rules: { 'color-contrast': { enabled: false }, region: { enabled: false } } })
  return result.violations.map(({ id }) => id)
}
