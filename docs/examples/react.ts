// The state of a chat in React. `chat.subscribe` and `chat.state` are made for useSyncExternalStore: the state is the
// same object until something changes, and both may be handed over as they are.

import type { Chat, State } from 'holdfast'

// In your project: import { useSyncExternalStore } from 'react'
declare function useSyncExternalStore<T>(subscribe: (onChange: () => void) => () => void, getSnapshot: () => T): T

export function useChat(chat: Chat): State {
  return useSyncExternalStore(chat.subscribe, () => chat.state)
}

/** A part of the state paints again only when that part changes. */
export function useUnread(chat: Chat): number {
  return useSyncExternalStore(chat.subscribe, () => chat.state.unread)
}
