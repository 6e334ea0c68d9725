/** The uploads under way, at the foot of the page. */
import { Progress } from '@mantine/core'
import { CircleAlert, CircleCheck, RotateCw, X } from 'lucide-react'
import { IconAction } from '../ui/IconAction'
import { bytes } from '../ui/time'
import { clearUploads, retryUpload, useUploads } from './uploads'
import css from './files.module.css'

export function UploadList() {
  const uploads = useUploads()
  if (uploads.length === 0) return null
  const done = uploads.filter((u) => u.state === 'done').length
  const failed = uploads.filter((u) => u.state === 'failed').length
  return (
    <section className={css.uploads} aria-label="Uploads">
      <header>
        <b aria-live="polite">
          {done} of {uploads.length} uploaded
          {failed > 0 && `, ${failed} failed`}
        </b>
        <IconAction label="Close the list" icon={X} size="sm" onClick={clearUploads} />
      </header>
      <ul>
        {uploads.map((upload) => (
          <li key={upload.id}>
            <span className={css.uploadName}>{upload.name}</span>
            {upload.state === 'done' && <CircleCheck size={15} className={css.okIcon} role="img" aria-label="done" />}
            {upload.state === 'failed' && <CircleAlert size={15} className={css.badIcon} role="img" aria-label="failed" />}
            <span className={css.size}>{bytes(upload.size)}</span>
            {upload.state === 'failed' && (
              <IconAction
                label={`Retry ${upload.name}`}
                icon={RotateCw}
                size="sm"
                iconSize={14}
                onClick={() => void retryUpload(upload)}
              />
            )}
            {upload.problem && (
              <span className={css.problem} data-state={upload.state}>
                {upload.problem}
              </span>
            )}
            {upload.state === 'sending' && (
              <Progress
                className={css.progress}
                size="xs"
                value={upload.size ? (100 * upload.sent) / upload.size : 100}
                aria-label={`Progress of ${upload.name}`}
              />
            )}
          </li>
        ))}
      </ul>
    </section>
  )
}
