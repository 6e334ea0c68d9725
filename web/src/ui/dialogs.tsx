/** The two dialogs that every object needs: ask for a name, and confirm a deletion naming what dies. */
import { Button, Group, Stack, Text, TextInput } from '@mantine/core'
import { modals } from '@mantine/modals'
import { useState, type FormEvent, type ReactNode } from 'react'
import { attempt } from './toast'
import css from './ui.module.css'

interface NameRequest {
  title: string
  label: string
  initial?: string
  submit: string
  /** A name may be left out, and the server then makes one. */
  optional?: boolean
  hint?: string
  /** Said where nothing was entered. */
  missing?: string
  check?: (name: string) => string | null
  save: (name: string) => Promise<unknown>
}

const LONGEST_NAME = 200

export function askName(request: NameRequest) {
  const id = modals.open({
    title: request.title,
    children: <NameForm {...request} close={() => modals.close(id)} />,
  })
}

function NameForm({ label, initial = '', submit, optional, hint, missing = 'Enter a name', check, save, close }: NameRequest & { close: () => void }) {
  const [name, setName] = useState(initial)
  const [error, setError] = useState<string | null>(null)
  const [busy, setBusy] = useState(false)
  const send = async (event: FormEvent) => {
    event.preventDefault()
    const trimmed = name.trim()
    const problem =
      (!trimmed && !optional && missing) ||
      (trimmed.length > LONGEST_NAME && `Use at most ${LONGEST_NAME} characters`) ||
      (trimmed && check?.(trimmed)) ||
      null
    setError(problem)
    if (problem) return
    setBusy(true)
    if (await attempt(() => save(trimmed))) close()
    else setBusy(false)
  }
  return (
    <form onSubmit={send} noValidate>
      <Stack gap="md">
        <TextInput
          data-autofocus
          label={label}
          description={hint}
          value={name}
          error={error}
          onChange={(event) => setName(event.currentTarget.value)}
          onFocus={(event) => event.currentTarget.select()}
        />
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            Cancel
          </Button>
          <Button type="submit" loading={busy}>
            {submit}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

interface Deletion {
  title: string
  text: ReactNode
  /** What goes with it, one line each. */
  dies?: string[]
  /** Below: whether it can be undone. */
  outlook?: string
  submit?: string
  run: () => Promise<unknown>
}

export function confirmDeletion(deletion: Deletion) {
  const id = modals.open({
    title: deletion.title,
    children: <DeletionForm {...deletion} close={() => modals.close(id)} />,
  })
}

const NOTHING: string[] = []

function DeletionForm({ text, dies = NOTHING, outlook, submit = 'Delete', run, close }: Deletion & { close: () => void }) {
  const [busy, setBusy] = useState(false)
  const go = async () => {
    setBusy(true)
    if (await attempt(run)) close()
    else setBusy(false)
  }
  return (
    <Stack gap="md">
      <Text fz="sm" component="div">
        {text}
        {dies.length > 0 && (
          <ul className={css.dies}>
            {dies.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        )}
        {outlook && <p className={css.outlook}>{outlook}</p>}
      </Text>
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={close} data-autofocus>
          Cancel
        </Button>
        <Button color="red.8" autoContrast={false} loading={busy} onClick={go}>
          {submit}
        </Button>
      </Group>
    </Stack>
  )
}
