/** Where the details stand: a column on a wide screen, a drawer on a narrow one. */
import { Drawer } from '@mantine/core'
import { useHotkeys, useLocalStorage, useMediaQuery } from '@mantine/hooks'
import { useState } from 'react'
import type { Session } from '../api/types'
import { Details } from './Details'
import css from './chat.module.css'

export interface DetailsState {
  narrow: boolean
  shown: boolean
  toggle: () => void
}

export function useDetails(): DetailsState {
  const narrow = useMediaQuery('(max-width: 75em)', false, { getInitialValueInEffect: false })
  const [open, setOpen] = useLocalStorage({ key: 'cattery-details', defaultValue: true, getInitialValueInEffect: false })
  const [drawer, setDrawer] = useState(false)
  const toggle = () => (narrow ? setDrawer(!drawer) : setOpen(!open))
  useHotkeys([['mod+B', toggle]], [])
  return { narrow, shown: narrow ? drawer : open, toggle }
}

interface Props {
  session: Session
  project: string
  details: DetailsState
}

export function DetailsPanel({ session, project, details: { narrow, shown, toggle } }: Props) {
  if (narrow) {
    return (
      <Drawer opened={shown} onClose={toggle} position="right" size={330} title="Details" classNames={{ body: css.detailsBody }}>
        <Details session={session} project={project} />
      </Drawer>
    )
  }
  if (!shown) return null
  return (
    <aside className={css.details} aria-label="Session details" tabIndex={0}>
      <Details session={session} project={project} />
    </aside>
  )
}
