// Ids that grow with time (UUID version 7, RFC 9562): what is stored one after the other lies side by side in the
// index, so that a message costs the same after a million others. Sessions keep ids that say nothing.
import { randomBytes } from 'node:crypto'
import type { EpochMs } from './session.ts'

export function timeOrderedId(now: EpochMs): string {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(Math.max(0, Math.floor(now)) % 2 ** 48, 0, 6)
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f)
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}
