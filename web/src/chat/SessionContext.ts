/** The session whose transcript is shown, for the rows that call the server. */
import { createContext } from 'react'
import { Transcript } from './store'

export const SessionContext = createContext<{ sessionId: string; transcript: Transcript }>({
  sessionId: '',
  transcript: new Transcript(),
})
