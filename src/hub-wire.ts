// What travels between a page and the hub frame in it. Types, the version, and the guard of the first message: the rest goes
// over a port that only these two have.

import type { WireError } from '../core/errors.ts'
import { type Caller, type Command, isShape, type Notice, type Snapshot } from '../core/wire.ts'
import type { Host } from './link.ts'

/** Raised by every change that an older page or hub could misread. */
export const HUB_VERSION = 1

/** Posted to the window of the hub, with a port for all that follows. */
export interface HubHello {
  readonly type: 'holdfast-hub'
  readonly version: number
  readonly deployment: string
}

/** From the page. A call may come twice: like every command it carries its own key. */
export type HubAsk =
  | { readonly type: 'call'; readonly id: number; readonly caller: Caller; readonly command: Command }
  | { readonly type: 'ping'; readonly caller: Caller }
  | { readonly type: 'publish'; readonly notice: Notice }
  | { readonly type: 'persist' }

/** From the hub. `heard` at once, `ready` when there is an engine, or `refused`. */
export type HubTold =
  | { readonly type: 'heard' }
  | { readonly type: 'ready'; readonly kind: Host['kind'] }
  | { readonly type: 'refused'; readonly error: WireError }
  | { readonly type: 'answer'; readonly id: number; readonly value: unknown; readonly isShown: boolean }
  | { readonly type: 'failure'; readonly id: number; readonly error: WireError }
  | { readonly type: 'news'; readonly snapshot: Snapshot }
  | { readonly type: 'notice'; readonly notice: unknown }
  | { readonly type: 'death' }

export const isHello = (value: unknown): value is HubHello =>
  isShape(value) && value.type === 'holdfast-hub' && typeof value.deployment === 'string'
