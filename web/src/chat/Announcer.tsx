/** What a screen reader hears: that a turn ended, failed or asks something; never the text as it streams. */
import { VisuallyHidden } from '@mantine/core'
import { useContext, useSyncExternalStore } from 'react'
import { SessionContext } from './SessionContext'

export function Announcer() {
  const { transcript } = useContext(SessionContext)
  const announcement = useSyncExternalStore(transcript.subscribe, () => transcript.getMeta().announcement)
  return (
    <VisuallyHidden role="status" aria-live="polite" data-testid="announcer">
      {announcement}
    </VisuallyHidden>
  )
}
