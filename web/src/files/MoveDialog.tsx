/** Choose the folder that something moves to, by keyboard as well as by mouse. */
import { Button, Group, Stack, UnstyledButton } from '@mantine/core'
import { modals } from '@mantine/modals'
import { useQuery } from '@tanstack/react-query'
import { CornerLeftUp, Folder } from 'lucide-react'
import { useState } from 'react'
import { queries } from '../api/queries'
import { Loaded } from '../ui/Loaded'
import { move } from './changes'
import { join, nameOf, parentOf } from './paths'
import css from './files.module.css'

export function askFolderToMoveTo(project: string, path: string) {
  const id = modals.open({
    title: `Move ${nameOf(path)}`,
    children: <MoveForm project={project} path={path} close={() => modals.close(id)} />,
  })
}

function MoveForm({ project, path, close }: { project: string; path: string; close: () => void }) {
  const [folder, setFolder] = useState(parentOf(path))
  const [busy, setBusy] = useState(false)
  const entries = useQuery(queries.files(project, folder))
  const go = async () => {
    setBusy(true)
    if (await move(project, path, folder)) close()
    else setBusy(false)
  }
  return (
    <Stack gap="sm">
      <div className={css.moveTo} aria-live="polite">
        To <b>{folder === '/' ? 'Files' : folder}</b>
      </div>
      <div className={css.moveList}>
        {folder !== '/' && (
          <UnstyledButton className={css.moveItem} onClick={() => setFolder(parentOf(folder))}>
            <CornerLeftUp size={15} aria-hidden /> One up
          </UnstyledButton>
        )}
        <Loaded query={entries}>
          {(list) =>
            list
              .filter((e) => e.type === 'dir' && join(folder, e.name) !== path)
              .map((e) => (
                <UnstyledButton key={e.name} className={css.moveItem} onClick={() => setFolder(join(folder, e.name))}>
                  <Folder size={15} aria-hidden /> {e.name}
                </UnstyledButton>
              ))
          }
        </Loaded>
      </div>
      <Group justify="flex-end" gap="xs">
        <Button variant="default" onClick={close}>
          Cancel
        </Button>
        <Button onClick={() => void go()} loading={busy} disabled={folder === parentOf(path)}>
          Move here
        </Button>
      </Group>
    </Stack>
  )
}
