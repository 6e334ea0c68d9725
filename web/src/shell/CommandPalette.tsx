/** Ctrl/Cmd+K: sessions, harnesses, projects, pages and commands in one search. */
import { useComputedColorScheme, useMantineColorScheme } from '@mantine/core'
import { Spotlight, type SpotlightActionGroupData } from '@mantine/spotlight'
import { useQueries, useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Search } from 'lucide-react'
import { queries } from '../api/queries'
import { useNewHarness } from '../harness/newHarness'
import { useNewProject } from '../projects/newProject'
import { harnessName, projectName, sessionTitle } from './names'
import { leave, useViews } from './Rail'
import { showShortcuts } from './Shortcuts'
import { closeOthers } from './tabs'

export function CommandPalette({ project }: { project: string | undefined }) {
  const groups = [...useObjects(project), ...useCommands(project)]
  return (
    <Spotlight
      attributes={{ content: { 'aria-label': 'Command palette' } }}
      shortcut={['mod + K', 'mod + P']}
      tagsToIgnore={[]}
      nothingFound="Nothing found"
      highlightQuery
      scrollable
      maxHeight={420}
      limit={40}
      actions={groups}
      searchProps={{
        leftSection: <Search size={16} aria-hidden />,
        placeholder: 'Search sessions, harnesses, pages, commands…',
        'aria-label': 'Search',
      }}
    />
  )
}

function useObjects(project: string | undefined): SpotlightActionGroupData[] {
  const navigate = useNavigate()
  const { data: projects = [] } = useQuery(queries.projects())
  const { data: harnesses = [] } = useQuery({ ...queries.harnesses(project ?? ''), enabled: project !== undefined })
  const lists = useQueries({ queries: harnesses.map((h) => queries.sessions(h.harness_id)) })
  const sessions = lists.flatMap((list, i) => (list.data ?? []).map((s) => ({ s, h: harnesses[i] })))
  const here = project ?? ''
  return [
    {
      group: 'Sessions',
      actions: sessions.map(({ s, h }) => ({
        id: s.session_id,
        label: sessionTitle(s),
        description: h ? harnessName(h) : '',
        onClick: () => void navigate({ to: '/p/$project/s/$session', params: { project: here, session: s.session_id } }),
      })),
    },
    {
      group: 'Harnesses',
      actions: harnesses.map((h) => ({
        id: h.harness_id,
        label: harnessName(h),
        description: `${h.type} · ${h.model}`,
        onClick: () => void navigate({ to: '/p/$project/h/$harness', params: { project: here, harness: h.harness_id } }),
      })),
    },
    {
      group: 'Projects',
      actions: projects.map((p) => ({
        id: p.project_id,
        label: projectName(p),
        description: p.access_role === 'member' ? `shared by ${p.owner_username}` : '',
        onClick: () => void navigate({ to: '/p/$project', params: { project: p.project_id } }),
      })),
    },
  ]
}

function useCommands(project: string | undefined): SpotlightActionGroupData[] {
  const navigate = useNavigate()
  const newProject = useNewProject()
  const newHarness = useNewHarness(project ?? '')
  const { setColorScheme } = useMantineColorScheme()
  const scheme = useComputedColorScheme('light')
  const views = useViews(project)
  const command = (id: string, label: string, onClick: () => void) => ({ id, label, onClick })
  return [
    {
      group: 'Pages',
      actions: [
        command('home', 'Home', () => void navigate({ to: '/' })),
        ...views.map(({ label, link }) => command(`view-${label}`, label, () => void navigate(link as { to: '/' }))),
        command('settings', 'Settings', () => void navigate({ to: '/settings' })),
      ],
    },
    {
      group: 'Commands',
      actions: [
        command('new-project', 'New project', newProject),
        ...(project ? [command('new-harness', 'New harness', newHarness)] : []),
        command('theme', 'Switch between light and dark', () => setColorScheme(scheme === 'dark' ? 'light' : 'dark')),
        command('system-theme', 'Use the theme of the system', () => setColorScheme('auto')),
        command('close-tabs', 'Close all tabs', () => closeOthers(null)),
        command('shortcuts', 'Show keyboard shortcuts', showShortcuts),
        command('sign-out', 'Sign out', () => void leave()),
      ],
    },
  ]
}
