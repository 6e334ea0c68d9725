/** A block of code: its language, a copy button, colours once it no longer grows. */
import { memo, useEffect, useState } from 'react'
import { CopyAction } from '../ui/CopyAction'
import css from './chat.module.css'

const highlight = (code: string, lang: string) => import('./highlighter').then((m) => m.highlight(code, lang))

export const CodeBlock = memo(function CodeBlock({ code, lang, live }: { code: string; lang: string; live?: boolean }) {
  const html = useHighlighted(code, lang, live)
  const name = lang || 'text'
  return (
    <figure className={css.code} aria-label={`${name} code`}>
      <figcaption>
        <span>{name}</span>
        <CopyAction text={code} label="Copy code" />
      </figcaption>
      {html ? (
        <div tabIndex={0} className={css.pre} dangerouslySetInnerHTML={{ __html: html }} />
      ) : (
        <div tabIndex={0} className={css.pre}>
          <pre>
            <code>{code}</code>
          </pre>
        </div>
      )}
    </figure>
  )
})

/** Shiki's HTML of the code, or null while there is none (yet). */
export function useHighlighted(code: string, lang: string, live = false): string | null {
  const [html, setHtml] = useState<string | null>(null)
  useEffect(() => {
    if (live || !lang) return undefined
    let wanted = true
    void highlight(code, lang)
      .catch(() => null)
      .then((coloured) => wanted && setHtml(coloured))
    return () => {
      wanted = false
    }
  }, [code, lang, live])
  return html
}
