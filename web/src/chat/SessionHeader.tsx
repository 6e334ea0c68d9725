/** The line over the conversation: its title, its state, what one can do with it. */
import { Menu } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Download, Ellipsis, PanelRight, Pencil, Trash2 } from 'lucide-react'
import { useContext, useSyncExternalStore } from 'react'
import { queries } from '../api/queries'
import type { Session } from '../api/types'
import { askSessionTitle, confirmSessionDeletion, exportAddress } from '../harness/sessions'
import { harnessName, sessionTitle } from '../shell/names'
import { IconAction } from '../ui/IconAction'
import type { DetailsState } from './DetailsPanel'
import { SessionContext } from './SessionContext'
import css from './chat.module.css'

interface Props {
  session: Session
  project: string
  details: DetailsState
}

export function SessionHeader({ session, project, details }: Props) {
  const { transcript } = useContext(SessionContext)
  const navigate = useNavigate()
  const { data: harness } = useQuery(queries.harness(session.harness_id))
  const title = useSyncExternalStore(transcript.subscribe, () => transcript.getMeta().title) ?? sessionTitle(session)
  const left = () => void navigate({ to: '/p/$project/h/$harness', params: { project, harness: session.harness_id } })
  return (
    <div className={css.header}>
      <span className={css.headerTitle} title={title}>
        {title}
      </span>
      {harness && (
        <span className={css.headerSub}>
          {harnessName(harness)} · {harness.model}
        </span>
      )}
      <span className={css.gap} />
      <Menu position="bottom-end" width={190}>
        <Menu.Target>
          <IconAction label="Session actions" icon={Ellipsis} size={32} />
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<Pencil size={14} />} onClick={() => askSessionTitle({ ...session, title })}>
            Rename…
          </Menu.Item>
          <Menu.Item leftSection={<Download size={14} />} component="a" href={exportAddress(session.session_id, 'md')} download>
            Export as Markdown
          </Menu.Item>
          <Menu.Item leftSection={<Download size={14} />} component="a" href={exportAddress(session.session_id, 'json')} download>
            Export as JSON
          </Menu.Item>
          <Menu.Item leftSection={<Trash2 size={14} />} c="var(--app-bad)" onClick={() => confirmSessionDeletion(project, session, left)}>
            Delete…
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <IconAction label="Details" icon={PanelRight} size={32} aria-pressed={details.shown} onClick={details.toggle} />
    </div>
  )
}
