/** A unified diff with word marks and syntax colours; its library is large, so this is a chunk of its own. */
import { useComputedColorScheme } from '@mantine/core'
import { parsePatchFiles, type FileDiffMetadata } from '@pierre/diffs'
import { FileDiff } from '@pierre/diffs/react'
import { useMemo } from 'react'
import css from './tools.module.css'

export default function Diff({ patch }: { patch: string }) {
  const scheme = useComputedColorScheme('light')
  const files = useMemo(() => filesOf(patch), [patch])
  if (!files) {
    return (
      <pre className={css.out} tabIndex={0} aria-label="Diff">
        {patch}
      </pre>
    )
  }
  return (
    <div className={css.diff} data-testid="diff">
      {files.map((file) => (
        <FileDiff
          key={file.name}
          fileDiff={file}
          options={{
            theme: { light: 'github-light-high-contrast', dark: 'github-dark-high-contrast' },
            themeType: scheme,
            preferredHighlighter: 'shiki-js',
            disableFileHeader: files.length === 1,
            diffStyle: 'unified',
            overflow: 'wrap',
          }}
        />
      ))}
    </div>
  )
}

/** Null for a patch that the parser does not take; it is then shown as text. */
function filesOf(patch: string): FileDiffMetadata[] | null {
  try {
    const files = parsePatchFiles(patch).flatMap((p) => p.files)
    return files.length > 0 ? files : null
  } catch {
    return null
  }
}
