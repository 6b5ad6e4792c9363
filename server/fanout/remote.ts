// What every fan-out over a broker shares: this node hears its own notices at once and without the broker, the
// others get them in parcels, and nobody ever waits. How a parcel travels is the business of a wire.
import { randomUUID } from 'node:crypto'
import type { Fanout, Notice } from './fanout.ts'

export interface Wire {
  /** Hands a parcel to the broker, if it is there; never throws and never waits. */
  send(parcel: string): void
  readonly isConnected: boolean
  close(): Promise<void>
}

export type WireEvents = {
  onParcel(parcel: string): void
  /** Listening has begun, or begun again: what was said before is lost. */
  onConnected(): void
}

export type RemoteOptions = {
  connect(events: WireEvents): Wire
  /** Notices gather for this long before they travel together, in milliseconds. */
  gatherMs: number
  /** A parcel has at most about this many bytes. */
  parcelBytesMax: number
}

type Parcel = { node: string; notices: Notice[] }

export function remoteFanout({ connect, gatherMs, parcelBytesMax }: RemoteOptions): Fanout {
  const node = randomUUID()
  const listeners = new Set<{ onNotice: (notice: Notice) => void; onGap: () => void }>()
  let waiting: string[] = []
  let waitingBytes = 0
  let timer: NodeJS.Timeout | undefined

  const flush = () => {
    clearTimeout(timer)
    timer = undefined
    if (waiting.length === 0) return
    wire.send(`{"node":"${node}","notices":[${waiting.join(',')}]}`)
    waiting = []
    waitingBytes = 0
  }
  const wire = connect({
    onParcel: (text) => {
      const parcel = readParcel(text)
      // Its own notices this node has heard already.
      if (parcel === undefined || parcel.node === node) return
      for (const notice of parcel.notices) for (const { onNotice } of listeners) onNotice(notice)
    },
    onConnected: () => {
      for (const { onGap } of listeners) onGap()
    },
  })
  return {
    get isConnected() {
      return wire.isConnected
    },
    publish: (notice) => {
      for (const { onNotice } of listeners) onNotice(notice)
      const text = JSON.stringify(notice)
      const bytes = Buffer.byteLength(text)
      if (waitingBytes + bytes > parcelBytesMax) flush()
      waiting.push(text)
      waitingBytes += bytes + 1
      timer ??= setTimeout(flush, gatherMs)
    },
    subscribe: (onNotice, onGap) => {
      const listener = { onNotice, onGap }
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    close: async () => {
      flush()
      listeners.clear()
      await wire.close()
    },
  }
}

/** Another program may speak on the same channel, and a node of another release may say more. */
function readParcel(text: string): Parcel | undefined {
  try {
    const { node, notices } = JSON.parse(text) as Partial<Parcel>
    return typeof node === 'string' && Array.isArray(notices) ? { node, notices: notices.filter(isNotice) } : undefined
  } catch {
    // Not ours. The table says what there is to know.
    return undefined
  }
}

function isNotice(notice: unknown): notice is Notice {
  const { conversationId, deploymentId, seq, version, familyId, change } = Object(notice) as Record<string, unknown>
  if (typeof familyId === 'string') return change === 'ended' || change === 'moved'
  return (
    typeof conversationId === 'string' &&
    typeof deploymentId === 'string' &&
    Number.isSafeInteger(seq) &&
    Number.isSafeInteger(version)
  )
}
