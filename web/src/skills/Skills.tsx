/** The library of skills, one for all: look, add by zip, delete. */
import { Badge, Button, FileButton, Progress, Text } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Puzzle, Trash2, Upload } from 'lucide-react'
import { useRef, useState } from 'react'
import { deleteSkill } from '../api/calls'
import { address } from '../api/client'
import { queryClient } from '../api/link'
import { patiently } from '../api/patience'
import { queries } from '../api/queries'
import type { Skill } from '../api/types'
import { post } from '../files/uploads'
import { closeTab } from '../shell/tabs'
import { confirmDeletion } from '../ui/dialogs'
import { EmptyState } from '../ui/EmptyState'
import { IconAction } from '../ui/IconAction'
import { Loaded } from '../ui/Loaded'
import { Page, Panel } from '../ui/Page'
import { onceStarted, toastDone, toastFailure } from '../ui/toast'
import css from '../ui/ui.module.css'

export function Skills() {
  const skills = useQuery(queries.skills())
  useDocumentTitle('Skills · Cattery')
  return (
    <Page
      title="Skills"
      text="Folders with a SKILL.md that every agent of this site can read. One library for all users."
      actions={<UploadSkill />}
    >
      <Panel title="Library" flush>
        <Loaded query={skills}>
          {(list) =>
            list.length === 0 ? (
              <EmptyState icon={Puzzle} title="No skills yet" text="Upload a .zip of one folder that holds a SKILL.md with a name and a description." />
            ) : (
              <ul className={css.rows}>
                {list.map((skill) => (
                  <SkillRow key={skill.slug} skill={skill} />
                ))}
              </ul>
            )
          }
        </Loaded>
      </Panel>
    </Page>
  )
}

function UploadSkill() {
  const [progress, setProgress] = useState<number | null>(null)
  const [note, setNote] = useState('')
  const reset = useRef<() => void>(null)
  const send = async (file: File | null) => {
    reset.current?.()
    if (!file) return
    setProgress(0)
    try {
      const send = () => post(address('/skills/upload-zip', { path: '/' }), file, (sent) => setProgress((100 * sent) / (file.size || 1)))
      await patiently(send, setNote)
      toastDone(`${file.name} was added`)
      await queryClient.invalidateQueries({ queryKey: ['skills'] })
    } catch (error) {
      toastFailure(error, 'The skill was not added')
    }
    setProgress(null)
    setNote('')
  }
  return (
    <div>
      <FileButton accept=".zip,application/zip" onChange={(file) => void send(file)} resetRef={reset} inputProps={{ 'aria-label': 'Zip of a skill' }}>
        {(props) => (
          <Button {...props} leftSection={<Upload size={14} />} loading={progress !== null}>
            Upload a skill
          </Button>
        )}
      </FileButton>
      {progress !== null && <Progress value={progress} size="xs" mt={4} aria-label="Upload progress" />}
      <Text fz="xs" c="dimmed" maw={240} role="status">
        {note}
      </Text>
    </div>
  )
}

function SkillRow({ skill }: { skill: Skill }) {
  return (
    <li>
      <Link className={css.rowLink} to="/skills/$slug" params={{ slug: skill.slug }}>
        <Puzzle size={16} aria-hidden />
        <span className={css.grow}>
          <span className={css.rowTitle}>{skill.name || skill.slug}</span>
          <br />
          <span className={css.dim}>{skill.valid ? skill.description : skill.reason}</span>
        </span>
      </Link>
      {!skill.valid && (
        <Badge color="red" variant="light" size="sm">
          not valid
        </Badge>
      )}
      <IconAction label={`Delete ${skill.slug}`} icon={Trash2} size={32} onClick={() => confirmSkillDeletion(skill.slug)} />
    </li>
  )
}

export function confirmSkillDeletion(slug: string, left?: () => void) {
  confirmDeletion({
    title: 'Delete skill?',
    text: `“${slug}” is deleted for every user and agent of this site.`,
    submit: 'Delete skill',
    run: async () => {
      await onceStarted(() => deleteSkill(slug))
      closeTab({ kind: 'skill', project: null, id: slug })
      left?.()
      await queryClient.invalidateQueries({ queryKey: ['skills'] })
      toastDone('Skill deleted')
    },
  })
}
