// Attributes as platforms see them that know nothing but text and count bytes.

import type { AttributeDelta } from './wire.ts'

/** As a platform takes them that knows nothing but text. */
export const textsOf = (values: { readonly [name: string]: unknown }): { readonly [name: string]: string } =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, `${value ?? ''}`]))

/** UTF-8 bytes of all names and values. */
export function dataBytesOf(values: AttributeDelta): number {
  let bytes = 0
  for (const char of Object.entries(values).flat().join('')) {
    const point = char.codePointAt(0) ?? 0
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
  }
  return bytes
}
