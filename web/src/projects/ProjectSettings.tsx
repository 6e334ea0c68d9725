/** Rename or delete a project; a member may only read here. */
import { Button, Text } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams } from '@tanstack/react-router'
import { deleteProject, renameProject } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { Project } from '../api/types'
import { toldDeleted, undoable } from '../deletions/deletions'
import { projectName } from '../shell/names'
import { closeTab, useTabs } from '../shell/tabs'
import { askName, confirmDeletion } from '../ui/dialogs'
import { Loaded } from '../ui/Loaded'
import { Page, Panel } from '../ui/Page'
import { moment } from '../ui/time'
import css from './projects.module.css'
import ui from '../ui/ui.module.css'

export function ProjectSettings() {
  const { project: id } = useParams({ from: '/app/p/$project/settings' })
  const project = useQuery(queries.project(id))
  useDocumentTitle('Project settings · Cattery')
  return <Loaded query={project}>{(data) => <Content project={data} />}</Loaded>
}

function Content({ project }: { project: Project }) {
  const remove = useProjectDeletion(project)
  const owner = project.access_role === 'owner'
  return (
    <Page title="Project settings" text={projectName(project)}>
      <div className={css.sections}>
        <Panel
          title="General"
          actions={
            owner && (
              <Button variant="default" onClick={() => rename(project)}>
                Rename
              </Button>
            )
          }
        >
          <dl className={ui.facts}>
            <dt>Name</dt>
            <dd>{projectName(project)}</dd>
            <dt>Owner</dt>
            <dd>{project.owner_username}</dd>
            <dt>Created</dt>
            <dd>{moment(project.created_at)}</dd>
            <dt>Id</dt>
            <dd className={ui.mono}>{project.project_id}</dd>
          </dl>
        </Panel>
        {owner && (
          <Panel title="Delete">
            <Text fz="sm" mb="sm">
              Deletes the project with its files, harnesses, sessions and members, for everyone.
            </Text>
            <Button color="red.8" autoContrast={false} onClick={remove}>
              Delete project…
            </Button>
          </Panel>
        )}
      </div>
    </Page>
  )
}

function rename(project: Project) {
  askName({
    title: 'Rename project',
    label: 'Project name',
    initial: project.project_name ?? '',
    submit: 'Rename',
    save: async (name) => {
      await renameProject(project.project_id, name)
      await Promise.all([
        queryClient.invalidateQueries({ queryKey: ['projects'] }),
        queryClient.invalidateQueries({ queryKey: ['project', project.project_id] }),
      ])
    },
  })
}

function useProjectDeletion(project: Project) {
  const navigate = useNavigate()
  const tabs = useTabs()
  const id = project.project_id
  const { data: harnesses } = useQuery(queries.harnesses(id))
  const { data: members } = useQuery(queries.members(id))
  return () =>
    confirmDeletion({
      title: 'Delete project?',
      text: (
        <>
          <b>{projectName(project)}</b> is deleted for everyone. With it go:
        </>
      ),
      outlook: undoable('project'),
      dies: [
        'all files of its workspace',
        harnesses?.length !== 0 && `${counted(harnesses?.length, 'harness', 'harnesses')} with their sandboxes and sessions`,
        members?.length !== 0 && `the access of ${counted(members?.length, 'member', 'members')}`,
      ].filter((line) => line !== false),
      submit: 'Delete project',
      run: async () => {
        await deleteProject(id)
        for (const tab of tabs) if (tab.project === id) closeTab(tab)
        await queryClient.invalidateQueries({ queryKey: ['projects'] })
        await navigate({ to: '/' })
        await toldDeleted(id, `${projectName(project)} was deleted`)
      },
    })
}

function counted(n: number | undefined, one: string, many: string): string {
  if (n === undefined) return `all ${many}`
  return n === 1 ? `1 ${one}` : `${n} ${many}`
}
