import { expect, test, vi } from 'vitest'
import { memoryStore } from '../../sw/memory-store.ts'
import { createVault } from '../../sw/vault.ts'
import { bench } from '../unit/store-fixtures.ts'
import { put, slotsOf } from './store.ts'
import { textOf, vaultContract } from './vault.ts'

vaultContract('persistent, keys in memory', () => overMemory('persistent'), true)
vaultContract('persistent, keys in IndexedDB', () => overDisk('persistent'), true)
vaultContract('broker, keys in IndexedDB', () => overDisk('broker'), true)
vaultContract('memory', () => overMemory('memory'), false)

async function overMemory(mode: 'persistent' | 'memory') {
  const { keys } = memoryStore()
  return () => createVault(mode, keys)
}

async function overDisk(mode: 'persistent' | 'broker') {
  const { keys } = await bench().open()
  return () => createVault(mode, keys)
}

test('[ST23] two workers that make the key at the same moment open what the other has sealed', async () => {
  const on = bench()
  const [one, two] = [
    createVault('persistent', (await on.open()).keys),
    createVault('persistent', (await on.open()).keys),
  ]
  const [mine, yours] = await Promise.all([one.seal('token-1'), two.seal('token-2')])
  expect(await two.open(mine)).toBe('token-1')
  expect(await one.open(yours)).toBe('token-2')
  expect(await on.raw((database) => database.count('vault'))).toBe(1)
})

test('[ST24] no record of the database holds a secret, and the key cannot be exported', async () => {
  const on = bench()
  const store = await on.open()
  const access = await createVault('persistent', store.keys).seal('secret-token')
  const slots = slotsOf([])
  const grant = { access, refresh: access, expiresAt: 1, lifetimeMs: 1 }
  const lease = { status: 'held', generation: 1, grant, refreshAt: 1, receivedAt: 1, rejections: 0, isSpent: false }
  await put(store, { slots: { ...slots, lease: { ...lease, refresh: { status: 'idle' } } as never } })
  const records = await on.raw((database) =>
    Promise.all([...database.objectStoreNames].map((name) => database.getAll(name))),
  )
  expect(textOf(records)).toContain('lease=')
  expect(textOf(records)).not.toContain('secret')
  const key = await store.keys.get()
  await expect(crypto.subtle.exportKey('raw', key!)).rejects.toThrow()
})

test('[ST25] without WebCrypto a persistent vault seals in memory, and keeps its mode', async () => {
  vi.stubGlobal('crypto', { getRandomValues: crypto.getRandomValues.bind(crypto) })
  try {
    const { keys } = memoryStore()
    const vault = createVault('broker', keys)
    const sealed = await vault.seal('token-1')
    expect(await vault.open(sealed)).toBe('token-1')
    expect(vault.mode).toBe('broker')
    expect(await createVault('broker', keys).open(sealed)).toBeUndefined()
  } finally {
    vi.unstubAllGlobals()
  }
})

test('[ST21] a memory vault keeps the secrets of the last few generations only', async () => {
  const vault = createVault('memory', memoryStore().keys)
  const all = []
  for (let count = 0; count < 20; count++) all.push(await vault.seal(`token-${count}`))
  expect(await vault.open(all[0]!)).toBeUndefined()
  expect(await vault.open(all[19]!)).toBe('token-19')
})
