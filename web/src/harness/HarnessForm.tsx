/** What a new harness needs: a name, a type, a model, its environment. Checked before it is sent. */
import { Button, Group, Radio, Stack, Text, Textarea, TextInput } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { FlaskConical } from 'lucide-react'
import { useState } from 'react'
import { createHarness } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { HarnessType, Model } from '../api/types'
import { Notice } from '../ui/Notice'
import { attempt } from '../ui/toast'
import { parseEnv } from './env'
import css from './harness.module.css'

const CUSTOM = 'custom'
const LONGEST_MODEL = 200
const NO_CONTROLS = /^[^\s\p{Cc}]+$/u

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
  const form = useForm<Values>({
    initialValues: { name: '', type: 'opencode', model: '', custom: '', env: '' },
    validate: {
      name: (name) => (taken(project, name.trim()) ? 'A harness of this project has that name' : null),
      custom: (custom, { model }) => (model === CUSTOM ? modelProblem(custom.trim()) : null),
      env: (env) => {
        const parsed = parseEnv(env)
        return parsed.ok ? null : parsed.problem
      },
    },
    validateInputOnBlur: ['name', 'env', 'custom'],
  })
  const model = form.values.model || models?.find((m) => m.default)?.id || models?.[0]?.id || ''
  const submit = form.onSubmit(async ({ name, type, custom, env }) => {
    const parsed = parseEnv(env)
    if (!parsed.ok) return
    setBusy(true)
    const done = await attempt(async () => {
      const harness = await createHarness(project, {
        harness_name: name.trim() || null,
        type,
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
        <TypeChoice types={site?.harness_types ?? []} {...form.getInputProps('type')} />
        <ModelChoice
          models={models ?? []}
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
          <Button type="submit" loading={busy} disabled={!model}>
            Create harness
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

interface ChoiceProps {
  value?: string
  onChange?: (value: string) => void
}

function TypeChoice({ types, value, onChange }: ChoiceProps & { types: HarnessType[] }) {
  return (
    <Radio.Group label="Type" value={value ?? null} onChange={(next) => onChange?.(String(next))}>
      <div className={css.cards}>
        {types.map((type) => (
          <Radio.Card key={type.id} value={type.id} disabled={!type.available} className={css.card} p="xs">
            <span className={css.cardTitle}>{type.display_name}</span>
            <span className={css.cardText}>
              {type.available ? (type.transport_kind === 'http' ? 'Chat' : 'Terminal') : type.reason || 'Not available'}
            </span>
          </Radio.Card>
        ))}
      </div>
    </Radio.Group>
  )
}

function ModelChoice({ models, value, onChange }: ChoiceProps & { models: Model[] }) {
  return (
    <Radio.Group label="Model" value={value ?? null} onChange={(next) => onChange?.(String(next))}>
      <div className={css.cards}>
        {models.map((model) => (
          <Radio.Card key={model.id} value={model.id} className={css.card} p="xs">
            <span className={css.cardTitle}>{model.id}</span>
            <span className={css.cardText}>
              {model.family === 'anthropic' ? 'Anthropic' : 'OpenAI'}
              {model.default && ' · default'}
            </span>
          </Radio.Card>
        ))}
        <Radio.Card value={CUSTOM} className={css.card} p="xs">
          <span className={css.cardTitle}>Custom</span>
          <span className={css.cardText}>Any other id</span>
        </Radio.Card>
      </div>
      {models.length === 0 && (
        <Text fz="xs" c="dimmed">
          The site offers no models; give the id of one.
        </Text>
      )}
    </Radio.Group>
  )
}

function taken(project: string, name: string): boolean {
  const known = queryClient.getQueryData(queries.harnesses(project).queryKey)
  return name !== '' && (known ?? []).some((h) => h.harness_name === name)
}

function modelProblem(id: string): string | null {
  if (!id) return 'Enter the id of a model'
  if (id.length > LONGEST_MODEL) return `Use at most ${LONGEST_MODEL} characters`
  return NO_CONTROLS.test(id) ? null : 'A model id has no blanks in it'
}
