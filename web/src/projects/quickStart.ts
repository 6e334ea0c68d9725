/** A project, a harness on the site's default model and a session, in one go. */
import { useComputedColorScheme } from '@mantine/core'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { createHarness, createProject, createSession } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import { defaultModel, modelsFor } from '../harness/families'
import { attempt } from '../ui/toast'

export function useQuickStart() {
  const navigate = useNavigate()
  const theme = useComputedColorScheme('dark')
  const [busy, setBusy] = useState(false)
  const start = async () => {
    setBusy(true)
    await attempt(async () => {
      const [models, site] = await Promise.all([
        queryClient.fetchQuery(queries.models()),
        queryClient.fetchQuery(queries.site()),
      ])
      const type = site.harness_types.find((t) => t.available && t.transport_kind === 'http')
      const model = defaultModel(modelsFor(type, models))
      if (!model || !type) throw new Error('This site offers no model or no harness to start with. Ask its administrator.')
      const { project_id: project } = await createProject('My first project')
      const harness = await createHarness(project, {
        harness_name: 'Assistant',
        model,
        type: type.id,
        env_vars: {},
      })
      const session = await createSession(harness.harness_id, theme)
      void queryClient.invalidateQueries({ queryKey: ['projects'] })
      await navigate({ to: '/p/$project/s/$session', params: { project, session: session.session_id } })
    })
    setBusy(false)
  }
  return { start: () => void start(), busy }
}
