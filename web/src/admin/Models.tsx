/** The models that the site offers by name: add one, choose the default, take one away, start over. */
import { Badge, Button, Checkbox, Group, Modal, Stack, Table, Text, TextInput, VisuallyHidden } from '@mantine/core'
import { useForm } from '@mantine/form'
import { useDisclosure, useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { Plus, Star, Trash2, Undo2 } from 'lucide-react'
import { useState } from 'react'
import { addModel, makeDefaultModel, removeModel, resetModels } from '../api/calls'
import { ApiError } from '../api/client'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { Model, ModelCatalog } from '../api/types'
import { familyName, familyOf } from '../harness/families'
import { modelProblem } from '../harness/modelId'
import { confirmDeletion } from '../ui/dialogs'
import { IconAction } from '../ui/IconAction'
import { Loaded } from '../ui/Loaded'
import { Panel } from '../ui/Page'
import { attempt, toastDone, toastFailure } from '../ui/toast'
import { AdminPage } from './AdminPage'
import css from './admin.module.css'

/** What everybody chooses from, too. */
const refresh = () => queryClient.invalidateQueries({ queryKey: ['models'] })

export function Models() {
  const catalog = useQuery(queries.modelCatalog())
  const [adding, { open, close }] = useDisclosure()
  useDocumentTitle('Models · Cattery')
  return (
    <AdminPage
      actions={
        <Button leftSection={<Plus size={14} />} onClick={open}>
          Add model
        </Button>
      }
    >
      <Loaded query={catalog}>{(data) => <Catalog catalog={data} />}</Loaded>
      <Modal opened={adding} onClose={close} title="Add model">
        <AddModel close={close} />
      </Modal>
    </AdminPage>
  )
}

function Catalog({ catalog: { models, is_edited: isEdited } }: { catalog: ModelCatalog }) {
  return (
    <Panel title="Models" flush actions={isEdited && <Reset />}>
      <Text fz="sm" c="dimmed" px="md" pt="sm">
        Offered when a harness is made, in this order. {isEdited ? 'An administrator chose them.' : 'The site’s settings name them.'}{' '}
        A harness that speaks to one family only begins with the first of it. Any other id can be given by hand.
      </Text>
      <div className={css.scroll}>
        <Table verticalSpacing={6} horizontalSpacing="md">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Id</Table.Th>
              <Table.Th>API</Table.Th>
              <Table.Th>
                <VisuallyHidden>Actions</VisuallyHidden>
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {models.map((model) => (
              <ModelRow key={model.id} model={model} isLast={models.length === 1} />
            ))}
          </Table.Tbody>
        </Table>
      </div>
    </Panel>
  )
}

function ModelRow({ model, isLast }: { model: Model; isLast: boolean }) {
  const choose = async () => {
    if (await attempt(() => makeDefaultModel(model.id), 'Could not change the default')) await refresh()
  }
  const remove = () =>
    confirmDeletion({
      title: 'Remove model?',
      text: `“${model.id}” is no longer offered. Harnesses that have it keep it.`,
      submit: 'Remove model',
      run: async () => {
        await removeModel(model.id)
        await refresh()
      },
    })
  return (
    <Table.Tr>
      <Table.Td>
        <Group gap="xs">
          <span className={css.model}>{model.id}</span>
          {model.default && <Badge variant="light">default</Badge>}
        </Group>
      </Table.Td>
      <Table.Td>{familyName(model.family)}</Table.Td>
      <Table.Td>
        <Group gap={2} justify="flex-end" wrap="nowrap">
          {!model.default && (
            <IconAction label={`Make ${model.id} the default`} icon={Star} size={32} onClick={() => void choose()} />
          )}
          {!isLast && <IconAction label={`Remove ${model.id}`} icon={Trash2} size={32} onClick={remove} />}
        </Group>
      </Table.Td>
    </Table.Tr>
  )
}

function Reset() {
  const reset = async () => {
    if (await attempt(resetModels, 'Could not go back to the settings')) {
      await refresh()
      toastDone('The site’s settings say again which models there are')
    }
  }
  return (
    <Button size="xs" variant="default" leftSection={<Undo2 size={13} aria-hidden />} onClick={() => void reset()}>
      Back to the settings
    </Button>
  )
}

function AddModel({ close }: { close: () => void }) {
  const [busy, setBusy] = useState(false)
  const form = useForm({
    initialValues: { id: '', isDefault: false },
    validate: { id: (id) => modelProblem(id.trim()) },
  })
  const id = form.values.id.trim()
  const submit = form.onSubmit(async ({ isDefault }) => {
    setBusy(true)
    try {
      await addModel(id, isDefault)
      await refresh()
      close()
    } catch (error) {
      if (error instanceof ApiError && [400, 409].includes(error.status)) form.setFieldError('id', error.message)
      else toastFailure(error, 'Could not add the model')
      setBusy(false)
    }
  })
  return (
    <form onSubmit={submit} noValidate>
      <Stack gap="md">
        <TextInput
          data-autofocus
          label="Model id"
          description={
            id ? `Spoken to over the ${familyName(familyOf(id))} API.` : 'As the provider writes it; with claude at its beginning it is Anthropic’s.'
          }
          autoComplete="off"
          spellCheck={false}
          {...form.getInputProps('id')}
        />
        <Checkbox label="Default for new harnesses" {...form.getInputProps('isDefault', { type: 'checkbox' })} />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={busy}>
            Add model
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
