/** Why a sandbox failed: the sentence, what to do, the end of its log, what the cluster said. */
import { Button } from '@mantine/core'
import { CircleAlert, RotateCw } from 'lucide-react'
import { useState } from 'react'
import type { Harness } from '../api/types'
import { CopyAction } from '../ui/CopyAction'
import { Fold } from '../ui/Fold'
import { startHarness } from './harnesses'
import { failureOf } from './sandbox'
import { SandboxEvents } from './SandboxEvents'
import css from './harness.module.css'

export function SandboxFailure({ harness }: { harness: Harness }) {
  const { sentence, more, log } = failureOf(harness.failure)
  return (
    <section className={css.failure} aria-label="Why the sandbox failed">
      <CircleAlert size={18} aria-hidden className={css.failureIcon} />
      <div className={css.failureBody}>
        <div className={css.failureHead}>
          <h2>The sandbox failed</h2>
          <RetryButton harness={harness} />
        </div>
        <p className={css.failureText}>{sentence}</p>
        {more && <p className={css.failureText}>{more}</p>}
        <p className={css.failureHint}>
          Retry starts it again; the project’s files and the conversations are kept. If it fails the same way, show
          this page to whoever runs the site.
        </p>
        {log && (
          <Fold title="The last lines of its log" open>
            <div className={css.tail}>
              <pre className={css.log} tabIndex={0} aria-label="The last lines of its log">
                {log}
              </pre>
              <span className={css.tailCopy}>
                <CopyAction text={log} label="Copy these lines" />
              </span>
            </div>
          </Fold>
        )}
        <SandboxEvents events={harness.runtime_events} open={!log} />
      </div>
    </section>
  )
}

function RetryButton({ harness }: { harness: Harness }) {
  const [busy, setBusy] = useState(false)
  const retry = async () => {
    setBusy(true)
    await startHarness(harness)
    setBusy(false)
  }
  return (
    <Button variant="default" leftSection={<RotateCw size={14} />} loading={busy} onClick={() => void retry()}>
      Retry
    </Button>
  )
}
