/** Markdown from a model: never HTML (no rehype-raw), half-written syntax closed while it streams. */
import { memo, useMemo, useState, type ReactElement } from 'react'
import ReactMarkdown, { type Components } from 'react-markdown'
import remarkGfm from 'remark-gfm'
import remend from 'remend'
import { GrowingBlocks } from './blocks'
import { CodeBlock } from './CodeBlock'
import css from './chat.module.css'

const PLUGINS = [remarkGfm]

export const Markdown = memo(function Markdown({ text, done }: { text: string; done: boolean }) {
  const [blocks] = useState(() => new GrowingBlocks())
  const raws = useMemo(() => blocks.update(text), [blocks, text])
  const last = raws.length - 1
  return (
    <div className={css.md}>
      {raws.map((raw, i) => (
        <Block key={i} text={raw} live={!done && i === last} />
      ))}
    </div>
  )
})

const Block = memo(function Block({ text, live }: { text: string; live: boolean }) {
  return (
    <ReactMarkdown remarkPlugins={PLUGINS} components={live ? LIVE : SETTLED}>
      {live ? remend(text) : text}
    </ReactMarkdown>
  )
})

function componentsOf(live: boolean): Components {
  return {
    a: ({ node: _, children, ...rest }) => (
      <a target="_blank" rel="noreferrer noopener" {...rest}>
        {children}
      </a>
    ),
    // An image from elsewhere would tell its server who reads this; the CSP refuses it anyway.
    img: ({ alt, src }) => (
      <a href={typeof src === 'string' ? src : undefined} target="_blank" rel="noreferrer noopener">
        {alt || 'image'}
      </a>
    ),
    table: ({ node: _, ...rest }) => (
      <div className={css.tableWrap} tabIndex={0} role="region" aria-label="Table">
        <table {...rest} />
      </div>
    ),
    input: ({ node: _, ...rest }) => <input {...rest} aria-label="task" />,
    pre: ({ children }) => {
      const code = (Array.isArray(children) ? children[0] : children) as
        | ReactElement<{ className?: string; children?: string }>
        | undefined
      const lang = /language-([\w+#-]+)/.exec(code?.props.className ?? '')?.[1] ?? ''
      return <CodeBlock live={live} lang={lang} code={String(code?.props.children ?? '').replace(/\n$/, '')} />
    },
  }
}

const SETTLED = componentsOf(false)
const LIVE = componentsOf(true)
