/** What nameless things are called. */
import type { Harness, Project, Session } from '../api/types'

export const projectName = (p: Pick<Project, 'project_name'>) => p.project_name || 'Untitled project'
export const harnessName = (h: Pick<Harness, 'harness_name' | 'type'>) => h.harness_name || `Untitled ${h.type}`
export const sessionTitle = (s: Pick<Session, 'title'>) => s.title || 'New session'
