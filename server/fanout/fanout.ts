// The port between nodes: hints that something is new. The table is the truth; a hint only wakes.
import type { LossyFrame } from '../schemas.ts'

/** "This conversation has reached `seq` and `version`." Lost, doubled or reordered hints do no harm. */
export type Hint = {
  conversationId: string
  deploymentId: string
  seq: number
  version: number
  /** The place of its marks, where that may be news. */
  marks?: number
  /** Typing and events travel along; they may be lost. */
  frame?: LossyFrame
  /** The feed that caused the frame, and does not want it back. */
  from?: string
}

/** A token family was ended, or speaks for another session now. Nodes that miss it find out within seconds. */
export type FamilyNotice = { familyId: string; change: 'ended' | 'moved' }

export type Notice = Hint | FamilyNotice

export interface Fanout {
  /** Never throws, and no request waits for it. This node hears it, too. */
  publish(notice: Notice): void
  /** `onGap`: notices may have been lost; look at everything once. Returns the way to stop. */
  subscribe(onNotice: (notice: Notice) => void, onGap: () => void): () => void
  /** Whether other nodes can be heard now. */
  readonly isConnected: boolean
  close(): Promise<void>
}
