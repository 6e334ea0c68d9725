/** A state as a dot; shape as well as colour tells them apart, and a reader hears the word. */
import css from './ui.module.css'

export type DotState = 'ready' | 'starting' | 'waking' | 'waiting' | 'healing' | 'working' | 'failed' | 'suspended' | 'idle'

const WORDS: Record<DotState, string> = {
  ready: 'ready',
  starting: 'starting',
  waking: 'waking',
  waiting: 'waiting',
  healing: 'healing',
  working: 'working',
  failed: 'failed',
  suspended: 'suspended',
  idle: 'stopped',
}

interface Props {
  state: DotState
  of?: string
  /** More than the word, such as what is waited for. */
  why?: string | null
}

export function StatusDot({ state, of, why }: Props) {
  const label = `${of ? `${of} ` : ''}${WORDS[state]}${why ? `: ${why}` : ''}`
  return <span className={css.dot} data-state={state} role="img" aria-label={label} title={label} />
}

/** The word for a sandbox's state, as people read it. */
export const stateWord = (state: DotState) => WORDS[state]
