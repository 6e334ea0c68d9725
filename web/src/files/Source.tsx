/** Source text with line numbers, coloured when its language is known. */
import { useHighlighted } from '../chat/CodeBlock'
import { languageOfFile } from '../chat/highlighter'
import css from './files.module.css'

export default function Source({ text, path }: { text: string; path: string }) {
  const html = useHighlighted(text, languageOfFile(path))
  const count = text.split('\n').length
  return (
    <div className={css.source} data-testid="source">
      <pre className={css.numbers} aria-hidden>
        {Array.from({ length: count }, (_, i) => i + 1).join('\n')}
      </pre>
      {html ? (
        <div className={css.code} tabIndex={0} role="region" aria-label="File text" dangerouslySetInnerHTML={{ __html: html }} />
      ) : (
        <div className={css.code} tabIndex={0} role="region" aria-label="File text">
          <pre>{text}</pre>
        </div>
      )}
    </div>
  )
}
