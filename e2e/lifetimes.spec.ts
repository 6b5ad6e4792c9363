// Attributes that end by themselves, in real pages: the tabs, the disk, and what the agent sees.

import { expect, test } from './fixtures.ts'
import { everythingIn } from './residue.ts'

const NAME = 'name-of-marker-5821'

test.use({ site: { deployment: { lifetimes: { attributes: { 'identity_*': 2_000 } } } } })

test('[CX90] who the visitor is ends in every tab, on the disk and for the agent; what they agreed to, and the cart, stay', async ({
  world,
}) => {
  const tab = await world.tab()
  const other = await world.tab()
  await tab.until((state) => state.phase === 'live')
  await tab.page.evaluate(
    (name) => globalThis.chat.context.set({ identity_name: name, consent_recording: true, cart: '12.00' }),
    NAME,
  )
  await other.until((state) => state.context['consent_recording'] === true)
  await tab.until((state) => !('identity_name' in state.context))
  await other.until((state) => !('identity_name' in state.context))
  const kept = { consent_recording: true, cart: '12.00' }
  expect((await tab.state()).context).toEqual(kept)
  expect(await everythingIn(other.page)).not.toContain(NAME)
  await expect.poll(async () => (await world.service.conversations())[0]?.customAttributes).toEqual(kept)
})
