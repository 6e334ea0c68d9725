/** All deletions of the site: what waits, what is stuck, and what ended in the last seven days. */
import { Stack } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { Trash2 } from 'lucide-react'
import { queries } from '../api/queries'
import { isOpen } from '../deletions/deletions'
import { DeletionList } from '../deletions/Deletions'
import { EmptyState } from '../ui/EmptyState'
import { Loaded } from '../ui/Loaded'
import { AdminPage } from './AdminPage'

export function Deletions() {
  const deletions = useQuery(queries.deletions())
  useDocumentTitle('Deletions · Cattery')
  return (
    <AdminPage>
      <Loaded query={deletions}>
        {(list) => {
          const open = list.filter(isOpen)
          const ended = list.filter((one) => !isOpen(one))
          if (list.length === 0) return <EmptyState icon={Trash2} title="Nothing is being deleted" text="What is deleted is listed here, and for seven days after its end." />
          return (
            <Stack gap="md">
              {open.length > 0 && <DeletionList title="Being deleted" deletions={open} />}
              {ended.length > 0 && <DeletionList title="Ended" deletions={ended} />}
            </Stack>
          )
        }}
      </Loaded>
    </AdminPage>
  )
}
