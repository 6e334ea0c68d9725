/** Markdown cut into top-level blocks, so that only the last one is parsed again while it streams. */
import { Lexer } from 'marked'

const RELEX_FROM = 400

const blocksOf = (text: string) => Lexer.lex(text, { gfm: true }).map((token) => token.raw)

/** Keeps the settled blocks of a growing text and lexes only what follows them. */
export class GrowingBlocks {
  private settled: string[] = []
  private tail = ''
  private seen = ''

  update(text: string): string[] {
    if (!text.startsWith(this.seen)) {
      this.settled = []
      this.tail = ''
      this.seen = ''
    }
    this.tail += text.slice(this.seen.length)
    this.seen = text
    const blocks = blocksOf(this.tail)
    if (this.tail.length > RELEX_FROM && blocks.length > 2) {
      this.settled = [...this.settled, ...blocks.slice(0, -2)]
      this.tail = blocks.slice(-2).join('')
      return [...this.settled, ...blocks.slice(-2)]
    }
    return [...this.settled, ...blocks]
  }
}
