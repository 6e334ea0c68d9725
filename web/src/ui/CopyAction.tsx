/** Copy some text; works on plain-http sites too, where the clipboard API is absent. */
import { Check, Copy } from 'lucide-react'
import { useState } from 'react'
import { IconAction } from './IconAction'
import { toastFailure } from './toast'

const SHOWN_MS = 1_500

export function CopyAction({ text, label = 'Copy' }: { text: string | (() => string); label?: string }) {
  const [copied, setCopied] = useState(false)
  const copy = async () => {
    try {
      await copyText(typeof text === 'string' ? text : text())
      setCopied(true)
      setTimeout(() => setCopied(false), SHOWN_MS)
    } catch (error) {
      toastFailure(error, 'Could not copy')
    }
  }
  return (
    <IconAction size="sm" iconSize={14} label={copied ? 'Copied' : label} icon={copied ? Check : Copy} onClick={copy} />
  )
}

async function copyText(text: string) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = document.createElement('textarea')
  area.value = text
  area.style.position = 'fixed'
  area.style.opacity = '0'
  document.body.append(area)
  area.select()
  const worked = document.execCommand('copy')
  area.remove()
  if (!worked) throw new Error('The browser did not allow it.')
  return undefined
}
