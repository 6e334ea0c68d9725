/** The socket of one terminal: typed bytes out, the program's bytes in, reconnecting until it may not. */

export type State = 'connecting' | 'open' | 'waiting' | 'ended'

export interface Ending {
  /** What the person reads. */
  message: string
  /** Whether opening it again is worth offering. */
  again: boolean
}

interface Options {
  open: () => WebSocket
  output: (bytes: Uint8Array) => void
  changed: (state: State, ending: Ending | null) => void
  wait?: (attempt: number) => number
}

const ENDINGS: Record<number, Ending> = {
  4401: { message: 'You are signed out.', again: false },
  4404: { message: 'This session is gone, or you may not see it any more.', again: false },
  4409: { message: 'The sandbox was stopped. Opening the terminal starts it again.', again: true },
  4500: { message: 'The sandbox could not be started.', again: true },
}
/** Of what is typed at once; the server takes frames of many mebibytes, proxies may not. */
const FRAME = 256 * 1024

export class Connection {
  private socket: WebSocket | null = null
  private timer: ReturnType<typeof setTimeout> | null = null
  private attempt = 0
  private closed = false
  private frames = new Map<string, string>()

  constructor(private readonly options: Options) {}

  start() {
    this.closed = false
    this.stopTimer()
    this.options.changed(this.attempt === 0 ? 'connecting' : 'waiting', null)
    const socket = this.options.open()
    socket.binaryType = 'arraybuffer'
    this.socket = socket
    socket.addEventListener('open', () => {
      this.attempt = 0
      for (const frame of this.frames.values()) socket.send(frame)
      this.options.changed('open', null)
    })
    socket.addEventListener('message', ({ data }) => {
      if (data instanceof ArrayBuffer) this.options.output(new Uint8Array(data))
    })
    socket.addEventListener('close', ({ code, reason }) => {
      if (this.socket === socket && !this.closed) this.lost(code, reason)
    })
  }

  /** Open it anew now, whatever it waits for. */
  again() {
    this.drop()
    this.attempt = 0
    this.start()
  }

  close() {
    this.closed = true
    this.drop()
  }

  /** Type text; what is typed while there is no connection is not typed later. */
  type(text: string) {
    const bytes = new TextEncoder().encode(text)
    for (let at = 0; at < bytes.length; at += FRAME) this.send(bytes.slice(at, at + FRAME))
  }

  /** Type bytes that are no text, such as old mouse reports. */
  typeBinary(text: string) {
    this.send(Uint8Array.from(text, (letter) => letter.charCodeAt(0)))
  }

  resize(cols: number, rows: number) {
    this.tell('resize', { type: 'resize', cols, rows })
  }

  theme(theme: 'light' | 'dark') {
    this.tell('theme', { type: 'theme', theme })
  }

  private tell(name: string, frame: object) {
    const text = JSON.stringify(frame)
    if (this.frames.get(name) === text) return
    this.frames.set(name, text)
    this.send(text)
  }

  private send(data: string | Uint8Array<ArrayBuffer>) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(data)
  }

  private lost(code: number, reason: string) {
    this.socket = null
    const known = ENDINGS[code]
    if (known) {
      this.options.changed('ended', { ...known, message: reason && code === 4500 ? reason : known.message })
      return
    }
    this.attempt += 1
    this.options.changed('waiting', null)
    this.timer = setTimeout(() => this.start(), (this.options.wait ?? pause)(this.attempt))
  }

  private drop() {
    this.stopTimer()
    const socket = this.socket
    this.socket = null
    socket?.close()
  }

  private stopTimer() {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
  }
}

function pause(attempt: number): number {
  return Math.min(10_000, 400 * 2 ** Math.min(attempt, 5)) * (0.75 + Math.random() / 2)
}
