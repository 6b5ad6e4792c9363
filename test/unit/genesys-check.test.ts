// The probes for a real Genesys deployment, run against the emulator in its variants.
import { afterEach, expect, test } from 'vitest'
import { checkGenesys, linesOfProbes } from '../../server/check/genesys.ts'
import { type Genesys, type GenesysSettings, startGenesys } from '../../testing/genesys.ts'

let emulator: Genesys | undefined
afterEach(() => emulator?.close())

async function probed(settings: Partial<GenesysSettings> = {}, origin = 'https://shop.example') {
  emulator = await startGenesys(settings)
  const lab = { deploymentId: emulator.deploymentId, domain: emulator.endpoints.api, origin, waitMs: 2_000 }
  const probes = await checkGenesys(lab)
  return { probes, of: (id: string) => probes.find((probe) => probe.id === id) }
}

test('[GC27] the probes say of a deployment what no document says for certain', async () => {
  const { probes, of } = await probed({ historyHasMetadata: true })
  expect(probes.filter(({ holds }) => holds === false)).toEqual([])
  expect(of('metadata')?.found).toContain('comes back')
  expect(of('dedupe')?.found).toContain('makes 2 messages')
  expect(of('message-id')?.found).toContain('is replaced')
  expect(of('limits')?.found).toContain('2048 bytes')
  expect(of('echo')?.found).toContain('does not move')
  expect(of('order')?.found).toContain('newest first')
  expect(of('cors')?.found).toContain('https://shop.example')
  expect(of('cors-refresh')?.found).toContain('https://shop.example')
  expect(of('refresh')?.found).toContain('HTTP 401')
  expect(of('resumeToken')?.found).toContain('400')
  expect(of('disconnectCustomer')?.found).toContain('400')
  expect(of('configure-burst')?.found).toMatch(/^3 at once, then 429, wait 1 s$/)
  expect(of('close')).toMatchObject({ holds: true })
  expect(linesOfProbes(probes).at(-1)).toContain('can rely')
  // But for the limit that was looked for.
  expect(emulator?.service.throttled).toEqual(['configure'])
})

test('[GC27] what does not hold is said, and a domain that may not connect ends it', async () => {
  const { of } = await probed()
  expect(of('metadata')?.found).toContain('does not come back')
  await emulator?.close()
  const refused = await probed({ origins: ['https://other.example'] })
  expect(refused.of('origin')).toMatchObject({ holds: false, found: expect.stringContaining('allowed domain') })
  expect(linesOfProbes(refused.probes).at(-1)).toContain('do not hold')
})
