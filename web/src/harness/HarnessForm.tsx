/** What a new harness needs: a name, a type, a model, its environment. Checked before it is sent. */
import { Button, Group, Stack, Textarea, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { FlaskConical } from 'lucide-react'
import { useState } from 'react'
import { createHarness } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { HarnessType } from '../api/types'
import { Notice } from '../ui/Notice'
import { attempt } from '../ui/toast'
import { parseEnv } from './env'
import { defaultModel, familyProblem, modelsFor } from './families'
import css from './harness.module.css'
import { CUSTOM, ModelChoice } from './ModelChoice'
import { modelProblem } from './modelId'
import { TypeChoice } from './TypeChoice'

const USUAL_TYPE = 'opencode'

interface Values {
  name: string
  type: string
  model: string
  custom: string
  env: string
}

export function HarnessForm({ project, close }: { project: string; close: () => void }) {
  const navigate = useNavigate()
  const { data: site } = useQuery(queries.site())
  const { data: models } = useQuery(queries.models())
  const [busy, setBusy] = useState(false)
  const types = site?.harness_types ?? []
  const find = (chosen: string) => types.find(({ id }) => id === (chosen || usualType(types)))
  const form = useForm<Values>({
    initialValues: { name: '', type: '', model: '', custom: '', env: '' },
    validate: {
      name: (name) => (taken(project, name.trim()) ? 'A harness of this project has that name' : null),
      custom: (custom, { model, type }) =>
        model === CUSTOM ? (modelProblem(custom.trim()) ?? familyProblem(find(type), custom.trim())) : null,
      env: (env) => {
        const parsed = parseEnv(env)
        return parsed.ok ? null : parsed.problem
      },
    },
    validateInputOnBlur: ['name', 'env', 'custom'],
  })
  const type = find(form.values.type)
  const fitting = modelsFor(type, models ?? [])
  const isFitting = form.values.model === CUSTOM || fitting.some(({ id }) => id === form.values.model)
  const model = isFitting ? form.values.model : defaultModel(fitting)
  const submit = form.onSubmit(async ({ name, custom, env }) => {
    const parsed = parseEnv(env)
    if (!parsed.ok || !type) return
    setBusy(true)
    const done = await attempt(async () => {
      const harness = await createHarness(project, {
        harness_name: name.trim() || null,
        type: type.id,
        model: model === CUSTOM ? custom.trim() : model,
        env_vars: parsed.vars,
      })
      queryClient.setQueryData(queries.harness(harness.harness_id).queryKey, harness)
      void queryClient.invalidateQueries({ queryKey: ['harnesses', project] })
      await navigate({ to: '/p/$project/h/$harness', params: { project, harness: harness.harness_id } })
    }, 'Could not create the harness')
    if (done) close()
    else setBusy(false)
  })
  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="md">
        <TextInput
          data-autofocus
          label="Name"
          placeholder="Backend helper"
          description="What the agent is for. May be left empty."
          maxLength={200}
          {...form.getInputProps('name')}
        />
        <TypeChoice types={types} value={type?.id ?? ''} onChange={(id) => form.setFieldValue('type', id)} />
        <ModelChoice
          models={fitting}
          value={model}
          onChange={(value) => form.setFieldValue('model', value)}
        />
        {model === CUSTOM && (
          <TextInput
            label="Model id"
            placeholder="claude-… or any OpenAI-compatible id"
            autoFocus
            spellCheck={false}
            {...form.getInputProps('custom')}
          />
        )}
        {site?.demo_model && (
          <Notice kind="warn" icon={FlaskConical}>
            This site answers with its built-in demo model, whatever is chosen here.
          </Notice>
        )}
        <Textarea
          label="Environment variables"
          description="One KEY=VALUE a line. Model keys are not needed: the site adds its own."
          placeholder="LOG_LEVEL=debug"
          autosize
          minRows={2}
          maxRows={8}
          spellCheck={false}
          classNames={{ input: css.env }}
          {...form.getInputProps('env')}
        />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={busy} disabled={!model || !type?.available}>
            Create harness
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

/** opencode where it runs, or else the first that does. */
function usualType(types: HarnessType[]): string | undefined {
  const available = types.filter((type) => type.available)
  return (available.find(({ id }) => id === USUAL_TYPE) ?? available[0])?.id
}

function taken(project: string, name: string): boolean {
  const known = queryClient.getQueryData(queries.harnesses(project).queryKey)
  return name !== '' && (known ?? []).some((h) => h.harness_name === name)
}
