/** A state as a dot; shape as well as colour tells them apart, and a reader hears the word. */
import css from './ui.module.css'

export type DotState = 'ready' | 'starting' | 'working' | 'failed' | 'idle'

const WORDS: Record<DotState, string> = {
  ready: 'ready',
  starting: 'starting',
  working: 'working',
  failed: 'failed',
  idle: 'stopped',
}

export function StatusDot({ state, of }: { state: DotState; of?: string }) {
  const label = of ? `${of} ${WORDS[state]}` : WORDS[state]
  return <span className={css.dot} data-state={state} role="img" aria-label={label} title={label} />
}

/** The word for a sandbox's state, as people read it. */
export const stateWord = (state: DotState) => WORDS[state]
