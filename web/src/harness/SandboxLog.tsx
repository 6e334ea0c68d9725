/** The last lines that the sandbox wrote. */
import { useQuery } from '@tanstack/react-query'
import { RefreshCw } from 'lucide-react'
import { useEffect, useRef } from 'react'
import { queries } from '../api/queries'
import { CopyAction } from '../ui/CopyAction'
import { IconAction } from '../ui/IconAction'
import { Loaded } from '../ui/Loaded'
import { Panel } from '../ui/Page'
import css from './harness.module.css'

const LINES = 200

export function SandboxLog({ harnessId }: { harnessId: string }) {
  const log = useQuery(queries.harnessLog(harnessId, LINES))
  const ref = useRef<HTMLPreElement>(null)
  const text = log.data?.log
  useEffect(() => {
    if (ref.current) ref.current.scrollTop = ref.current.scrollHeight
  }, [text])
  return (
    <Panel
      title="Log"
      flush
      actions={
        <span>
          <CopyAction text={text ?? ''} label="Copy the log" />
          <IconAction size="sm" iconSize={14} label="Refresh the log" icon={RefreshCw} loading={log.isFetching} onClick={() => void log.refetch()} />
        </span>
      }
    >
      <Loaded query={log}>
        {({ log: text }) => (
          <pre ref={ref} className={css.log} tabIndex={0} aria-label="Sandbox log">
            {text.trim() || 'Nothing was written yet.'}
          </pre>
        )}
      </Loaded>
    </Panel>
  )
}
