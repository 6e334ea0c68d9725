/** The connection is gone: said while it lasts, silent once it is back. */
import { Button } from '@mantine/core'
import { CloudOff } from 'lucide-react'
import { socket } from '../api/link'
import { useLinkState } from './useLink'
import css from './shell.module.css'

export function ConnectionBanner() {
  const lost = useLinkState() === 'lost'
  return (
    <div role="status" aria-live="polite" className={css.bannerSlot}>
      {lost && (
        <div className={css.banner} data-testid="connection-lost">
          <CloudOff size={15} aria-hidden />
          <span>Connection lost. Reconnecting; the agent goes on working meanwhile.</span>
          <Button variant="default" size="compact-xs" onClick={socket.reconnectNow}>
            Try now
          </Button>
        </div>
      )}
    </div>
  )
}
