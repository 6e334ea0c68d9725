/** Which project's tree is shown: switch, or make a new one. */
import { Button, Menu } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { ChevronsUpDown, FolderPlus, House, Settings } from 'lucide-react'
import { queries } from '../api/queries'
import { useNewProject } from '../projects/newProject'
import { projectName } from './names'
import css from './shell.module.css'

export function ProjectPicker({ project }: { project: string | undefined }) {
  const { data: projects = [] } = useQuery(queries.projects())
  const newProject = useNewProject()
  const current = projects.find((p) => p.project_id === project)
  const item = (p: (typeof projects)[number]) => (
    <Menu.Item
      key={p.project_id}
      className={css.pickerItem}
      data-active={p.project_id === project || undefined}
      rightSection={p.access_role === 'member' && <span className={css.dim}>{p.owner_username}</span>}
      renderRoot={(props) => <Link to="/p/$project" params={{ project: p.project_id }} {...props} />}
    >
      {projectName(p)}
    </Menu.Item>
  )
  const own = projects.filter((p) => p.access_role === 'owner')
  const shared = projects.filter((p) => p.access_role === 'member')
  return (
    <Menu width="target" position="bottom-start">
      <Menu.Target>
        <Button
          variant="default"
          size="xs"
          flex={1}
          miw={0}
          justify="space-between"
          fw={500}
          rightSection={<ChevronsUpDown size={13} aria-hidden />}
          aria-label={current ? `Project: ${projectName(current)}` : 'Choose a project'}
        >
          {current ? projectName(current) : 'Choose a project'}
        </Button>
      </Menu.Target>
      <Menu.Dropdown mah={420} style={{ overflowY: 'auto' }}>
        {own.map(item)}
        {shared.length > 0 && <Menu.Label>Shared with you</Menu.Label>}
        {shared.map(item)}
        {projects.length > 0 && <Menu.Divider />}
        <Menu.Item leftSection={<FolderPlus size={14} />} onClick={newProject}>
          New project…
        </Menu.Item>
        {current && (
          <Menu.Item
            leftSection={<Settings size={14} />}
            renderRoot={(props) => <Link to="/p/$project/settings" params={{ project: current.project_id }} {...props} />}
          >
            Project settings
          </Menu.Item>
        )}
        <Menu.Item leftSection={<House size={14} />} renderRoot={(props) => <Link to="/" {...props} />}>
          All projects
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
