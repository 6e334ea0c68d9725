/** A session before its first prompt: what to do, with a few ideas that fill the composer. */
import { Button, Stack } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { MessageSquareText } from 'lucide-react'
import { queries } from '../api/queries'
import type { Session } from '../api/types'
import { EmptyState } from '../ui/EmptyState'
import css from './chat.module.css'

const IDEAS = [
  'Look through the workspace and tell me what is in it.',
  'Write a hello.py that prints the date, and run it.',
  'Create a README.md that explains this project.',
]

export function FirstPrompt({ session, pick }: { session: Session; pick: (text: string) => void }) {
  const { data: site } = useQuery(queries.site())
  const starting = session.status === 'creating'
  return (
    <div className={css.first}>
      <EmptyState
        icon={MessageSquareText}
        title="What should the agent do?"
        text={
          starting
            ? 'The sandbox is starting. A prompt that you send now is answered as soon as it is up.'
            : 'It works on the files of this project; everyone in the project sees this conversation live.'
        }
      >
        <Stack gap={6}>
          {IDEAS.map((idea) => (
            <Button key={idea} variant="default" size="sm" fw={450} h="auto" py={9} classNames={{ label: css.idea }} onClick={() => pick(idea)}>
              {idea}
            </Button>
          ))}
        </Stack>
        {site?.demo_model && <p className={css.demo}>The demo model answers. {site.demo_hint}</p>}
      </EmptyState>
    </div>
  )
}
