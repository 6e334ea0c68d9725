/** The first page: all projects, and on an empty site the shortest way to a first answer. */
import { Badge, Button, Group } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { FolderPlus, Plus, Rocket } from 'lucide-react'
import { queries } from '../api/queries'
import type { Project } from '../api/types'
import { BeingDeleted } from '../deletions/Deletions'
import { projectName } from '../shell/names'
import { Ago } from '../ui/Ago'
import { EmptyState } from '../ui/EmptyState'
import { Loaded } from '../ui/Loaded'
import { Page } from '../ui/Page'
import { useNewProject } from './newProject'
import { SiteNotices } from './SiteNotices'
import { useQuickStart } from './quickStart'
import css from './projects.module.css'

export function Home() {
  const projects = useQuery(queries.projects())
  const newProject = useNewProject()
  useDocumentTitle('Cattery')
  return (
    <Page
      title="Projects"
      text="A project holds files, the harnesses that work on them, and the people who share them."
      actions={
        <Button leftSection={<Plus size={14} />} onClick={newProject}>
          New project
        </Button>
      }
    >
      <SiteNotices />
      <Loaded query={projects}>{(list) => (list.length === 0 ? <FirstSteps newProject={newProject} /> : <Cards projects={list} />)}</Loaded>
      <BeingDeleted />
    </Page>
  )
}

function FirstSteps({ newProject }: { newProject: () => void }) {
  const { start, busy } = useQuickStart()
  return (
    <EmptyState
      icon={Rocket}
      title="Welcome to Cattery"
      text="Start with a project, an agent on the default model and a first session, made in one click; or make your own project first."
    >
      <Group justify="center" gap="xs">
        <Button size="sm" leftSection={<Rocket size={15} />} loading={busy} onClick={start}>
          Quick start
        </Button>
        <Button size="sm" variant="default" leftSection={<FolderPlus size={15} />} onClick={newProject}>
          Create a project
        </Button>
      </Group>
    </EmptyState>
  )
}

function Cards({ projects }: { projects: Project[] }) {
  return (
    <div className={css.grid}>
      {projects.map((project) => (
        <Link key={project.project_id} to="/p/$project" params={{ project: project.project_id }} className={css.card}>
          <span className={css.cardTitle}>{projectName(project)}</span>
          <span className={css.cardFoot}>
            <Badge variant="default" size="xs">
              {project.access_role === 'owner' ? 'owner' : `shared by ${project.owner_username}`}
            </Badge>
            <span>
              created <Ago at={project.created_at} />
            </span>
          </span>
        </Link>
      ))}
    </div>
  )
}
