/** Markdown of a file, as it reads. */
import { Markdown } from '../chat/Markdown'
import css from './files.module.css'

/** Frontmatter is for machines; a reader sees what follows it. */
const FRONTMATTER = /^---\r?\n[\s\S]*?\r?\n---\r?\n/

export default function Reading({ text }: { text: string }) {
  return (
    <article className={css.reading}>
      <Markdown key={text} text={text.replace(FRONTMATTER, '')} done />
    </article>
  )
}
