/** What a screen reader hears: that a turn ended, failed or asks something; never the text as it streams. */
import { VisuallyHidden } from '@mantine/core'
import { useContext, useEffect, useState, useSyncExternalStore } from 'react'
import { SessionContext } from './SessionContext'

export function Announcer() {
  const { transcript } = useContext(SessionContext)
  const { live, announcement } = useSyncExternalStore(transcript.subscribe, transcript.getMeta)
  const [heard, setHeard] = useState<string | null>(null)
  // History is not news: what was said before the log was read to its end stays unsaid.
  useEffect(() => {
    if (live) setHeard((old) => (old === null ? '' : announcement))
  }, [live, announcement])
  return (
    <VisuallyHidden role="status" aria-live="polite" data-testid="announcer">
      {heard}
    </VisuallyHidden>
  )
}
