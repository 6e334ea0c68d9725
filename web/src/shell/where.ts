/** Where the person is: the ids in the address, and the project they were in last. */
import { useLocalStorage } from '@mantine/hooks'
import { useParams } from '@tanstack/react-router'
import { useEffect } from 'react'

export interface Place {
  project: string | undefined
  harness: string | undefined
  session: string | undefined
  path: string | undefined
}

export function usePlace(): Place {
  const { project, harness, session, _splat } = useParams({ strict: false })
  return { project, harness, session, path: _splat }
}

/** The project whose tree is shown: the address's own, or the last one visited. */
export function useCurrentProject(): string | undefined {
  const { project } = usePlace()
  const [last, setLast] = useLocalStorage<string | null>({
    key: 'cattery-project',
    defaultValue: null,
    getInitialValueInEffect: false,
  })
  useEffect(() => {
    if (project) setLast(project)
  }, [project, setLast])
  return project ?? last ?? undefined
}
