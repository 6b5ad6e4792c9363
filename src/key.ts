// Keys that the page makes before the first attempt. Owns their form; what they are for is in core/wire.ts.

/**
 * @param now milliseconds since 1970; the first 48 bits of the key
 * @see https://www.rfc-editor.org/rfc/rfc9562#section-5.7 (UUID version 7)
 */
export function newKey(now: number): string {
  // Not randomUUID(): a page without HTTPS has none, and can still host the engine.
  const chance = crypto.getRandomValues(new Uint8Array(23))
  const rest = '-7xxx-yxxx-xxxxxxxxxxxx'.replace(/[xy]/g, (place, index) => {
    const digit = (chance[index] as number) & 15
    return (place === 'x' ? digit : (digit & 3) | 8).toString(16)
  })
  const time = now.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}${rest}`
}
