/** The open tabs: one a visited session, harness, file or skill; kept in this browser. */
import { useSyncExternalStore } from 'react'

export interface Tab {
  kind: 'session' | 'harness' | 'file' | 'skill'
  project: string | null
  /** The session's or harness's id, the file's path, the skill's slug. */
  id: string
}

const KEY = 'cattery-tabs'
const MOST = 20
const KINDS = new Set(['session', 'harness', 'file', 'skill'])

let tabs = load()
const listeners = new Set<() => void>()

export const sameTab = (a: Tab, b: Tab) => a.kind === b.kind && a.id === b.id && a.project === b.project

export function useTabs(): Tab[] {
  return useSyncExternalStore(subscribe, () => tabs)
}

export function openTab(tab: Tab) {
  if (tabs.some((t) => sameTab(t, tab))) return
  save([...tabs, tab].slice(-MOST))
}

export function closeTab(tab: Tab) {
  save(tabs.filter((t) => !sameTab(t, tab)))
}

export function closeOthers(tab: Tab | null) {
  save(tabs.filter((t) => tab && sameTab(t, tab)))
}

/** The tab to show when this one closes: its right neighbour, else its left one. */
export function neighbour(tab: Tab): Tab | undefined {
  const at = tabs.findIndex((t) => sameTab(t, tab))
  return tabs[at + 1] ?? tabs[at - 1]
}

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

function save(next: Tab[]) {
  tabs = next
  try {
    localStorage.setItem(KEY, JSON.stringify(next))
  } catch {
    // A full or forbidden storage costs the tabs of the next visit only.
  }
  for (const tell of listeners) tell()
}

function load(): Tab[] {
  try {
    const saved: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]')
    return Array.isArray(saved) ? saved.filter(isTab).slice(-MOST) : []
  } catch {
    return []
  }
}

function isTab(value: unknown): value is Tab {
  const { kind, id, project } = (value ?? {}) as Partial<Tab>
  return (
    typeof id === 'string' &&
    KINDS.has(String(kind)) &&
    (project === null || typeof project === 'string')
  )
}
