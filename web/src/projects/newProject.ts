/** Make a project and go there. */
import { useNavigate } from '@tanstack/react-router'
import { createProject } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import { askName } from '../ui/dialogs'

export function useNewProject() {
  const navigate = useNavigate()
  return () =>
    askName({
      title: 'New project',
      label: 'Project name',
      hint: 'A project has its own files, harnesses and members.',
      submit: 'Create project',
      check: (name) => {
        const known = queryClient.getQueryData(queries.projects().queryKey)
        const taken = known?.some((p) => p.access_role === 'owner' && p.project_name === name)
        return taken ? 'You already have a project of that name' : null
      },
      save: async (name) => {
        const project = await createProject(name)
        await queryClient.invalidateQueries({ queryKey: ['projects'] })
        await navigate({ to: '/p/$project', params: { project: project.project_id } })
      },
    })
}
