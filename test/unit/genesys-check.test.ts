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
  expect(linesOfProbes(probes).at(-1)).toContain('can rely')
  expect(emulator?.service.throttled).toEqual([])
})

test('[GC27] what does not hold is said, and a domain that may not connect ends it', async () => {
  const { of } = await probed()
  expect(of('metadata')?.found).toContain('does not come back')
  await emulator?.close()
  const refused = await probed({ origins: ['https://other.example'] })
  expect(refused.of('origin')).toMatchObject({ holds: false, found: expect.stringContaining('allowed domain') })
  expect(linesOfProbes(refused.probes).at(-1)).toContain('do not hold')
})
