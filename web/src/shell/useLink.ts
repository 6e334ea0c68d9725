/** The state of this tab's connection, for React. */
import { useSyncExternalStore } from 'react'
import { socket } from '../api/link'

export const useLinkState = () => useSyncExternalStore(socket.subscribeState, socket.getState)
