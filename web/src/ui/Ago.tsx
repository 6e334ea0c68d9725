/** A moment in short words, exact on hover and for machines. */
import { ago, moment } from './time'

export function Ago({ at, className }: { at: string; className?: string | undefined }) {
  return (
    <time dateTime={at} title={moment(at)} className={className}>
      {ago(at)}
    </time>
  )
}
