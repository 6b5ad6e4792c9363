// Encryption at rest over fake-indexeddb: what lies in the records, and what becomes of it with the key and without.
// That an encrypted store is a store like any other is in test/contract/store.test.ts.

import { expect, test, vi } from 'vitest'
import { parseConfig } from '../../sw/config.ts'
import { encryption } from '../../sw/encryption.ts'
import type { Slots } from '../../core/state.ts'
import { entryOf, put, rowOf, see, slotsOf } from '../contract/store.ts'
import { type Bench, bench } from './store-fixtures.ts'

const MARK = 'marker-4711'
const STORES = ['slots', 'outbox', 'transcript', 'quarantine', 'vault', 'files'] as const

const entry = (seq: number) => entryOf(seq, 'c1', { text: `text ${MARK} ${seq}`, metadata: { page: `meta ${MARK}` } })
const row = (seq: number) =>
  rowOf(seq, 'c1', {
    text: `row ${MARK} ${seq}`,
    epoch: 'e1',
    attachments: [{ name: `${MARK}.pdf`, type: 'application/pdf', size: 1, id: 'a1' }],
  })

function slots(headSeq = 1): Slots {
  const { session, context, ...rest } = slotsOf([entry(1)], headSeq)
  const routing = { queue: `routed ${MARK}` }
  return {
    ...rest,
    session: { ...session, id: 's1', routing, asked: { previousId: null, routing, attributes: { a: MARK } } },
    context: {
      ...context,
      values: { cart: `value ${MARK}` },
      dirty: { cart: MARK },
      sending: { gone: null, cart: MARK },
    },
  }
}

const encrypted = (on: Bench) => on.open(undefined, encryption())

/** What lies in the database, bytes as text. */
const everything = (on: Bench): Promise<string> =>
  on.raw(async (database) => {
    const all = await Promise.all(STORES.map((name) => database.getAll(name)))
    const readable = async (one: unknown): Promise<unknown> => {
      if (one instanceof ArrayBuffer || ArrayBuffer.isView(one))
        return Buffer.from(one as ArrayBuffer).toString('latin1')
      if (one instanceof Blob) return one.text()
      if (Object(one) !== one) return one
      return Promise.all(Object.entries(one as object).map(async ([name, part]) => [name, await readable(part)]))
    }
    return JSON.stringify(await readable(all))
  })

async function filled(on: Bench) {
  const store = await encrypted(on)
  await put(store, {
    slots: slots(),
    putEntries: [entry(1)],
    putRows: [row(1)],
    putFiles: [{ key: 'key-1', contents: [new Blob([`file ${MARK}`], { type: 'text/plain' })] }],
  })
  return store
}

test('[ER1] no text, metadata, name, attribute, routing or file is readable in any record, nor the key', async () => {
  const on = bench()
  await filled(on)
  const found = await everything(on)
  expect(found).not.toContain(MARK)
  // What records are found and counted by is.
  for (const open of ['key-1', 'id-1', 'customer']) expect(found).toContain(open)
  const key = (await on.raw((database) => database.get('vault', 'rest'))) as CryptoKey
  expect([key.extractable, key.type, key.algorithm.name]).toEqual([false, 'secret', 'AES-GCM'])
  await expect(crypto.subtle.exportKey('raw', key)).rejects.toThrow()
})

test('[ER2] the next worker reads everything as it was written', async () => {
  const on = bench()
  ;(await filled(on)).close()
  const next = await encrypted(on)
  const seen = await next.tail(10, 10)
  expect(seen).toEqual({ slots: slots(), rows: [row(1)], entries: [entry(1)] })
  const file = (await next.file('key-1', 0)) as Blob
  expect([await file.text(), file.type]).toEqual([`file ${MARK}`, 'text/plain'])
  expect((await see(next, { keys: ['key-1'], runEntries: 5 })).runs.get('c1')).toEqual([entry(1)])
  expect(on.problems).toEqual([])
})

test('[ER2] two workers over one database read what the other writes', async () => {
  const on = bench()
  const [one, two] = [await encrypted(on), await encrypted(on)]
  await Promise.all([
    put(one, { slots: slots(2), putRows: [row(1)] }),
    put(two, { slots: slots(2), putRows: [row(2)] }),
  ])
  for (const store of [one, two]) expect(await store.rows('c1', 9, 9)).toEqual([row(1), row(2)])
  expect(await on.raw((database) => database.count('vault'))).toBe(1)
})

test('[ER3] attributes that are the same stay in their box, and changed ones go into another', async () => {
  const on = bench()
  const store = await filled(on)
  const box = () => on.raw(async (database) => ((await database.get('slots', 'state')) as { box: object }).box)
  const before = await box()
  const next = (change: Partial<Slots>) =>
    store.turn({ runEntries: 0, keys: [], isDurable: false }, (view) => ({
      writes: { slots: { ...(view.slots as Slots), ...change }, putEntries: [], dropEntries: [], putRows: [] },
    }))
  await next({ rev: 7 })
  expect(await box()).toEqual(before)
  await next({ context: { ...slots().context, values: { cart: 'other' } } })
  expect(await box()).not.toEqual(before)
})

test('[ER4] a wipe takes the key along in its turn, and the next visitor has another', async () => {
  const on = bench()
  const store = await filled(on)
  const keyOf = () => on.raw((database) => database.get('vault', 'rest') as Promise<CryptoKey | undefined>)
  const boxes = await on.raw((database) => database.getAll('transcript'))
  await put(store, { slots: slotsOf([]), wipe: true })
  expect(await keyOf()).toBeUndefined()
  await put(store, { slots: slots(), putRows: [row(2)] })
  const { box } = boxes[0] as { box: { iv: Uint8Array<ArrayBuffer>; data: ArrayBuffer } }
  const other = (await keyOf()) as CryptoKey
  await expect(crypto.subtle.decrypt({ name: 'AES-GCM', iv: box.iv }, other, box.data)).rejects.toThrow()
  expect(await store.rows('c1', 9, 9)).toEqual([row(2)])
})

test('[ER4] what a turn writes in the breath of its wipe is sealed under the new key', async () => {
  const on = bench()
  const store = await filled(on)
  await put(store, { slots: slots(2), wipe: true, putRows: [row(2)] })
  store.close()
  expect(await (await encrypted(on)).rows('c1', 9, 9)).toEqual([row(2)])
  expect(await everything(on)).not.toContain(MARK)
})

test('[ER5] a lost key costs what was kept and not the session: the rest is put aside, and told once', async () => {
  const on = bench()
  ;(await filled(on)).close()
  await on.raw((database) => database.clear('vault'))
  const next = await encrypted(on)
  expect(await next.tail(10, 10)).toMatchObject({ slots: undefined, rows: [], entries: [] })
  const view = await see(next, { keys: ['key-1'], runEntries: 5 })
  expect(view.slots?.session).toMatchObject({ epoch: 'e1', id: 's1', routing: {} })
  expect(view.slots?.context.values).toEqual({})
  expect(view.slots?.transcript.cursor.seq).toBe(0)
  expect(on.problems.map(({ code }) => code)).toEqual(['STORE_CORRUPT'])
  // From here on it is a store like any other.
  await put(next, { slots: slots(), putRows: [row(1)] })
  expect(await next.rows('c1', 9, 9)).toEqual([row(1)])
  expect(await everything(on)).not.toContain(MARK)
})

test('[ER5] a box that was changed on the disk is not opened', async () => {
  const on = bench()
  ;(await filled(on)).close()
  await on.raw(async (database) => {
    const kept = (await database.get('transcript', ['c1', 1])) as { box: { data: ArrayBuffer } }
    new Uint8Array(kept.box.data)[0]! ^= 1
    await database.put('transcript', kept)
  })
  const next = await encrypted(on)
  expect(await next.rows('c1', 9, 9)).toEqual([])
  expect(await next.entries(9)).toEqual([entry(1)])
})

test('[ER6] what was stored before the option was set is sealed with the first that is', async () => {
  const on = bench()
  const plain = await on.open()
  await put(plain, { slots: slots(2), putEntries: [entry(1)], putRows: [row(1)] })
  plain.close()
  expect(await everything(on)).toContain(MARK)
  const store = await encrypted(on)
  expect(await store.rows('c1', 9, 9)).toEqual([row(1)])
  await put(store, { slots: { ...slots(2), rev: 9 }, putRows: [row(2)] })
  expect(await everything(on)).not.toContain(MARK)
  expect(await store.rows('c1', 9, 9)).toEqual([row(1), row(2)])
  expect(await store.entries(9)).toEqual([entry(1)])
})

test('[ER6] files of before are sealed, too, and so is what was stored while the option was off', async () => {
  const on = bench()
  const plain = await on.open()
  await put(plain, {
    slots: slots(2),
    putEntries: [entry(1)],
    putFiles: [{ key: 'key-1', contents: [new Blob([`file ${MARK}`], { type: 'text/plain' })] }],
  })
  plain.close()
  const first = await encrypted(on)
  await put(first, { slots: { ...slots(2), rev: 9 }, putRows: [row(1)] })
  expect(await everything(on)).not.toContain(MARK)
  expect(await ((await first.file('key-1', 0)) as Blob).text()).toBe(`file ${MARK}`)
  first.close()
  const off = await on.open()
  await put(off, { putRows: [row(2)] })
  off.close()
  expect(await everything(on)).toContain(MARK)
  const again = await encrypted(on)
  expect(await again.rows('c1', 9, 9)).toEqual([row(1), row(2)])
  await put(again, { putRows: [row(3)] })
  expect(await everything(on)).not.toContain(MARK)
  expect(await again.rows('c1', 9, 9)).toEqual([row(1), row(2), row(3)])
})

test('[ER11] what was set while the option was off stands when it is on again', async () => {
  const on = bench()
  ;(await filled(on)).close()
  const off = await on.open()
  const { slots: before } = await see(off)
  await put(off, { slots: { ...before!, context: { ...before!.context, values: { cart: 'newer' } } } })
  off.close()
  const again = await encrypted(on)
  expect((await see(again)).slots?.context.values).toEqual({ cart: 'newer' })
})

test('[ER7] without WebCrypto nothing is written to the disk: the session is in memory, and a problem says so', async () => {
  const on = bench()
  vi.stubGlobal('crypto', { getRandomValues: crypto.getRandomValues.bind(crypto) })
  const store = await encrypted(on)
  await put(store, { slots: slots(), putRows: [row(1)] })
  vi.unstubAllGlobals()
  expect([store.kind, on.problems.map(({ code }) => code)]).toEqual(['memory', ['STORE_FAILED']])
  expect(await everything(on)).not.toContain(MARK)
})

test('[ER8] what cannot be understood is put aside sealed', async () => {
  const on = bench()
  const store = await filled(on)
  await on.raw((database) => database.put('transcript', { conversationId: 'c1', seq: 1, key: 'k', at: 1, text: MARK }))
  await see(store, { keys: ['k'] })
  expect(await on.raw((database) => database.count('quarantine'))).toBe(1)
  expect(await everything(on)).not.toContain(MARK)
})

test('[ER9] a configuration that asks for encryption is refused by a worker that does not carry it', () => {
  const config = (wanted: unknown) => ({
    deployments: { d: { platform: { type: 't', url: 'u' }, encryption: wanted } },
  })
  const makers = { t: () => () => ({}) as never }
  expect(() => parseConfig(config(true), makers)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  expect(() => parseConfig(config('yes'), makers, encryption)).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  )
  expect(parseConfig(config(true), makers, encryption).deployments['d']?.encryption).toBe(encryption)
  expect(parseConfig(config(false), makers, encryption).deployments['d']).not.toHaveProperty('encryption')
})
