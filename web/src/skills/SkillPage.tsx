/** One skill: its files at the left, the chosen one beside them. */
import { Badge, Button, UnstyledButton } from '@mantine/core'
import { useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams } from '@tanstack/react-router'
import { FileText, Folder, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { queries } from '../api/queries'
import type { Entry } from '../api/types'
import { TextOf } from '../files/TextView'
import { join, shapeOf } from '../files/paths'
import { Loaded } from '../ui/Loaded'
import { Page, Panel } from '../ui/Page'
import { confirmSkillDeletion } from './Skills'
import css from './skills.module.css'

export function SkillPage() {
  const { slug } = useParams({ from: '/app/skills/$slug' })
  return <Content key={slug} slug={slug} />
}

function Content({ slug }: { slug: string }) {
  const navigate = useNavigate()
  const skill = useQuery(queries.skills()).data?.find((s) => s.slug === slug)
  const [chosen, setChosen] = useState(join(slug, 'SKILL.md'))
  useDocumentTitle(`${slug} · Cattery`)
  return (
    <Page
      title={skill?.name || slug}
      text={skill?.description}
      actions={
        <Button
          variant="default"
          leftSection={<Trash2 size={14} />}
          onClick={() => confirmSkillDeletion(slug, () => void navigate({ to: '/skills' }))}
        >
          Delete
        </Button>
      }
    >
      {skill?.valid === false && (
        <p className={css.invalid}>
          <Badge color="red" variant="light">
            not valid
          </Badge>{' '}
          {skill.reason}
        </p>
      )}
      <div className={css.split}>
        <Panel title="Files">
          <Branch path={`/${slug}`} chosen={chosen} choose={setChosen} />
        </Panel>
        <Panel title={chosen.slice(1)} flush>
          <Preview path={chosen} />
        </Panel>
      </div>
    </Page>
  )
}

interface BranchProps {
  path: string
  chosen: string
  choose: (path: string) => void
}

function Branch({ path, chosen, choose }: BranchProps) {
  const entries = useQuery(queries.skillFiles(path))
  return (
    <Loaded query={entries}>
      {(list) => (
        <ul className={css.tree}>
          {list.map((entry) => (
            <Leaf key={entry.name} entry={entry} path={join(path, entry.name)} chosen={chosen} choose={choose} />
          ))}
        </ul>
      )}
    </Loaded>
  )
}

function Leaf({ entry, path, chosen, choose }: BranchProps & { entry: Entry }) {
  const [open, setOpen] = useState(false)
  const folder = entry.type === 'dir'
  const Icon = folder ? Folder : FileText
  return (
    <li>
      <UnstyledButton
        className={css.leaf}
        aria-expanded={folder ? open : undefined}
        aria-current={path === chosen ? 'true' : undefined}
        onClick={() => (folder ? setOpen(!open) : choose(path))}
      >
        <Icon size={15} aria-hidden /> {entry.name}
      </UnstyledButton>
      {folder && open && <Branch path={path} chosen={chosen} choose={choose} />}
    </li>
  )
}

function Preview({ path }: { path: string }) {
  const file = useQuery(queries.skillFile(path))
  return (
    <div className={css.preview}>
      <Loaded query={file} lines={6}>
        {(data) =>
          data.binary ? <p className={css.note}>This file is not text.</p> : <TextOf file={data} path={path} markdown={shapeOf(path) === 'markdown'} />
        }
      </Loaded>
    </div>
  )
}
