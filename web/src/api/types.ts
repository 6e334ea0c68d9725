/** The API's objects, as contract and server spell them. */

export interface User {
  user_id: string
  username: string
  is_admin: boolean
}

export interface UserMatch {
  user_id: string
  username: string
}

export interface AdminUser extends User {
  created_at: string
  last_login_at: string | null
}

export type AccessRole = 'owner' | 'member'

export interface Project {
  project_id: string
  owner_user_id: string
  project_name: string | null
  access_role: AccessRole
  owner_username: string
  created_at: string
}

export interface Member {
  project_id: string
  user_id: string
  username: string
  role: 'member'
  created_at: string
}

export type SandboxStatus = 'idle' | 'starting' | 'ready' | 'failed'

export interface SandboxStep {
  name: 'workspace' | 'scheduled' | 'image' | 'started' | 'answering'
  started_at: string
  finished_at: string | null
  detail: string | null
}

export interface Harness {
  harness_id: string
  project_id: string
  harness_name: string | null
  model: string
  type: string
  env_vars: Record<string, string>
  sandbox_status: SandboxStatus
  task_name: string | null
  sandbox_url: string | null
  transport_kind: 'http' | 'terminal'
  access_role: AccessRole
  owner_username: string
  created_at: string
  failure: string | null
  steps: SandboxStep[]
  generation: number
}

export interface NewHarness {
  harness_name: string | null
  model: string
  type: string
  env_vars: Record<string, string>
}

export interface Session {
  session_id: string
  harness_id: string
  status: 'creating' | 'ready' | 'failed'
  phase: 'handshake' | 'sandbox_error' | 'handshake_error' | null
  title: string | null
  harness_session_id: string | null
  created_at: string
  last_seen_at: string | null
  stopped_at: string | null
  failure: string | null
  working: boolean
  last_seq: number
}

export interface AcceptedPrompt {
  turn_id: string
  after: number
  turn_no: number
}

export interface Answer {
  question: string
  selectedLabels: string[]
  notes?: string
}

export interface Model {
  id: string
  family: 'anthropic' | 'openai'
  default: boolean
}

export interface HarnessType {
  id: string
  display_name: string
  transport_kind: 'http' | 'terminal'
  available: boolean
  reason: string | null
}

export interface Site {
  version: string
  demo_model: boolean
  demo_hint: string | null
  isolation: { confined: boolean; summary: string }
  temporal_ui_url: string | null
  harness_types: HarnessType[]
}

export interface Entry {
  name: string
  type: 'file' | 'dir' | 'link'
  size: number
  mtime: number
}

export interface FileText {
  path: string
  size: number
  truncated: boolean
  binary: boolean
  content?: string
}

export interface Skill {
  slug: string
  name: string | null
  description: string | null
  valid: boolean
  reason?: string | null
  mtime: number
}
