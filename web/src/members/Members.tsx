/** Who works in a project: the owner first; the owner adds and removes, a member may leave. */
import { Autocomplete, Badge, Button, Group } from '@mantine/core'
import { useDebouncedValue, useDocumentTitle } from '@mantine/hooks'
import { useQuery } from '@tanstack/react-query'
import { useNavigate, useParams } from '@tanstack/react-router'
import { UserMinus, UserPlus, UserRound } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import { addMember, removeMember } from '../api/calls'
import { queryClient } from '../api/link'
import { queries } from '../api/queries'
import type { Member, Project } from '../api/types'
import { projectName } from '../shell/names'
import { Ago } from '../ui/Ago'
import { confirmDeletion } from '../ui/dialogs'
import { IconAction } from '../ui/IconAction'
import { Loaded } from '../ui/Loaded'
import { Page, Panel } from '../ui/Page'
import { attempt, toastDone } from '../ui/toast'
import css from '../ui/ui.module.css'

export function Members() {
  const { project: id } = useParams({ from: '/app/p/$project/members' })
  const project = useQuery(queries.project(id))
  useDocumentTitle('Members · Cattery')
  return <Loaded query={project}>{(data) => <Content project={data} />}</Loaded>
}

function Content({ project }: { project: Project }) {
  const members = useQuery(queries.members(project.project_id))
  const owner = project.access_role === 'owner'
  return (
    <Page title="Members" text={`${projectName(project)} · members see and use everything in it; only the owner manages it.`}>
      {owner && <AddMember project={project} members={members.data ?? []} />}
      <Panel title="People" flush>
        <Loaded query={members}>
          {(list) => (
            <ul className={css.rows}>
              <li>
                <UserRound size={16} aria-hidden />
                <span className={css.grow}>{project.owner_username}</span>
                <Badge variant="light" size="sm">
                  owner
                </Badge>
              </li>
              {list.map((member) => (
                <MemberRow key={member.user_id} project={project} member={member} />
              ))}
            </ul>
          )}
        </Loaded>
      </Panel>
    </Page>
  )
}

function AddMember({ project, members }: { project: Project; members: Member[] }) {
  const [name, setName] = useState('')
  const [busy, setBusy] = useState(false)
  const [asked] = useDebouncedValue(name.trim(), 200)
  const { data: found = [] } = useQuery({ ...queries.userSearch(asked), placeholderData: (old) => old })
  const here = new Set([project.owner_username, ...members.map((m) => m.username)])
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    const username = name.trim()
    if (!username) return
    setBusy(true)
    const added = await attempt(() => addMember(project.project_id, username), 'Could not add the member')
    setBusy(false)
    if (!added) return
    setName('')
    toastDone(`${username} is now a member`)
    await queryClient.invalidateQueries({ queryKey: ['members', project.project_id] })
  }
  return (
    <form onSubmit={submit}>
      <Group align="flex-end" gap="xs" mb="md">
        <Autocomplete
          label="Add a member"
          placeholder="Search by user name"
          flex={1}
          maw={340}
          size="sm"
          value={name}
          onChange={setName}
          data={found.map((u) => u.username).filter((u) => !here.has(u))}
          filter={({ options }) => options}
          autoComplete="off"
        />
        <Button type="submit" size="sm" loading={busy} disabled={!name.trim()} leftSection={<UserPlus size={15} />}>
          Add
        </Button>
      </Group>
    </form>
  )
}

function MemberRow({ project, member }: { project: Project; member: Member }) {
  const navigate = useNavigate()
  const { data: me } = useQuery(queries.me())
  const self = me?.user_id === member.user_id
  const remove = () =>
    confirmDeletion({
      title: self ? 'Leave project?' : 'Remove member?',
      text: self
        ? `You lose access to “${projectName(project)}”; only its owner can bring you back.`
        : `${member.username} loses access to this project. What they made here stays.`,
      submit: self ? 'Leave' : 'Remove',
      run: async () => {
        await removeMember(project.project_id, member.user_id)
        if (self) await navigate({ to: '/' })
        await queryClient.invalidateQueries({ queryKey: self ? ['projects'] : ['members', project.project_id] })
      },
    })
  return (
    <li>
      <UserRound size={16} aria-hidden />
      <span className={css.grow}>
        {member.username} {self && <span className={css.dim}>(you)</span>}
      </span>
      <span className={css.dim}>
        since <Ago at={member.created_at} />
      </span>
      {self && (
        <Button variant="default" onClick={remove}>
          Leave
        </Button>
      )}
      {!self && project.access_role === 'owner' && (
        <IconAction label={`Remove ${member.username}`} icon={UserMinus} size={32} onClick={remove} />
      )}
    </li>
  )
}
