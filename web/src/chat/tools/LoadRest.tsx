/** The button under a tool call of which only the beginning came: it reads the rest. */
import { Button } from '@mantine/core'
import { useContext, useState } from 'react'
import { readEvent } from '../../api/calls'
import type { ToolPart } from '../parts'
import { SessionContext } from '../SessionContext'
import { withWhole } from '../store'
import css from './tools.module.css'

interface Props {
  part: ToolPart
  onLoaded: (whole: ToolPart) => void
}

export function LoadRest({ part, onLoaded }: Props) {
  const { sessionId } = useContext(SessionContext)
  const [state, setState] = useState<'idle' | 'loading' | 'failed'>('idle')
  const { seqs, bytes } = part.cut ?? { seqs: [], bytes: 0 }
  const load = async () => {
    setState('loading')
    try {
      const events = await Promise.all(seqs.map((seq) => readEvent(sessionId, seq)))
      onLoaded(withWhole(part, events))
    } catch {
      setState('failed')
    }
  }
  return (
    <div className={css.output}>
      <Button
        variant="subtle"
        size="compact-xs"
        m={6}
        loading={state === 'loading'}
        onClick={() => void load()}
      >
        Load the rest ({sizeOf(bytes)} in all)
      </Button>
      {state === 'failed' && (
        <p className={css.note} role="alert">
          The rest could not be read. Try again.
        </p>
      )}
    </div>
  )
}

const sizeOf = (bytes: number) =>
  bytes < 1024 ** 2 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`
