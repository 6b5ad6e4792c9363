// What every Vault owes, whatever it seals with. Its modes differ in one thing: whether a new worker can open what the
// one before has sealed.

import { describe, expect, test } from 'vitest'
import type { Vault } from '../../core/ports.ts'

/** @param open a place for keys that nobody has used yet, as a function that starts a worker there */
export function vaultContract(name: string, open: () => Promise<() => Vault>, survivesRestart: boolean): void {
  describe(`Vault: ${name}`, () => {
    test('[ST20] what was sealed is opened again, also as a copy from a store', async () => {
      const vault = (await open())()
      const [first, second] = [await vault.seal('token-1'), await vault.seal('token-2: ümläut')]
      expect(await vault.open(first)).toBe('token-1')
      expect(await vault.open(structuredClone(second))).toBe('token-2: ümläut')
    })

    test('[ST20] what is sealed does not show the secret, and is different each time', async () => {
      const vault = (await open())()
      const [one, two] = [await vault.seal('token-1'), await vault.seal('token-1')]
      expect(textOf(one)).not.toContain('token-1')
      expect(textOf(one)).not.toBe(textOf(two))
    })

    test(`[ST21] a new worker ${survivesRestart ? 'opens' : 'cannot open'} what the one before has sealed`, async () => {
      const start = await open()
      const sealed = await start().seal('token-1')
      expect(await start().open(structuredClone(sealed))).toBe(survivesRestart ? 'token-1' : undefined)
    })

    test('[ST22] what was forgotten stays sealed, here and in a new worker', async () => {
      const start = await open()
      const vault = start()
      const sealed = await vault.seal('token-1')
      await vault.forget()
      expect(await vault.open(sealed)).toBeUndefined()
      expect(await start().open(sealed)).toBeUndefined()
      expect(await vault.open(await vault.seal('token-2'))).toBe('token-2')
      expect(await vault.open(sealed)).toBeUndefined()
    })

    test.each([null, {}, { iv: 'x', box: 1 }, { ref: 7 }, { iv: new Uint8Array(12), box: new ArrayBuffer(40) }])(
      '[ST20] what was not sealed here is not opened: %o',
      async (sealed) => {
        const vault = (await open())()
        await vault.seal('token-1')
        expect(await vault.open({ sealed })).toBeUndefined()
      },
    )
  })
}

/** Everything readable in a value, bytes included. */
export function textOf(value: unknown): string {
  if (value instanceof ArrayBuffer) return new TextDecoder('latin1').decode(value)
  if (ArrayBuffer.isView(value)) return textOf(value.buffer)
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .map(([name, inner]) => `${name}=${textOf(inner)}`)
    .join(' ')
}
