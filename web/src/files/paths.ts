/** Workspace paths in the app: no leading slash in addresses, one in calls. */

export const absolute = (path: string) => `/${path.split('/').filter(Boolean).join('/')}`

export const join = (folder: string, name: string) => absolute(`${folder}/${name}`)

export const parentOf = (path: string) => absolute(path).split('/').slice(0, -1).join('/') || '/'

export const nameOf = (path: string) => absolute(path).split('/').at(-1) ?? ''

export type Shape = 'image' | 'pdf' | 'html' | 'markdown' | 'text'

const IMAGES = new Set(['png', 'jpg', 'jpeg', 'gif', 'webp', 'avif', 'bmp', 'ico', 'svg'])

/** How a file is shown, told by its name. */
export function shapeOf(path: string): Shape {
  const extension = nameOf(path).toLowerCase().split('.').at(-1) ?? ''
  if (IMAGES.has(extension)) return 'image'
  if (extension === 'pdf') return 'pdf'
  if (extension === 'html' || extension === 'htm') return 'html'
  if (extension === 'md' || extension === 'markdown') return 'markdown'
  return 'text'
}

/** Why a name cannot be one, or null; the server has the last word. */
export function nameProblem(name: string): string | null {
  if (name === '.' || name === '..') return 'That name is reserved'
  if (/[/\\\0]/.test(name)) return 'A name has no slashes in it'
  return new TextEncoder().encode(name).length > 255 ? 'That name is too long' : null
}
