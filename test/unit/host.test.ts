// One engine for each deployment: when it is built, and what becomes of a call that meets a build which fails.
import { expect, test } from 'vitest'
import { HoldfastError } from '../../core/errors.ts'
import { createHost, type WorkerConfig } from '../../sw/host.ts'
import { sessionService } from '../../sw/platforms/session-service.ts'
import { CALLER } from './client-fixtures.ts'

test('[EN21] a call that came while the configuration was being asked for in vain asks for it again', async () => {
  const platform = sessionService({ url: 'https://chat.example' })
  const answers: Promise<WorkerConfig>[] = [
    Promise.reject(new HoldfastError('CONFIG_INVALID', 'It is no JSON.')),
    Promise.resolve({ deployments: { [CALLER.deployment]: { platform } } }),
  ]
  let asked = 0
  const load = () => answers[asked++] ?? Promise.reject(new Error('It was asked for too often.'))
  const host = createHost(load, 'i1', {}, () => ({ request: async () => {} }))
  const [first, second, third] = await Promise.allSettled(
    Array.from({ length: 3 }, () => host.run(CALLER, { type: 'list-outbox' })),
  )
  expect(first).toMatchObject({ status: 'rejected', reason: { code: 'CONFIG_INVALID' } })
  expect([second, third]).toMatchObject([{ value: { value: [] } }, { value: { value: [] } }])
  expect(asked).toBe(2)
})
