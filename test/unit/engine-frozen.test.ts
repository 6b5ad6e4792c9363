// A worker that is frozen, or sleeps, between what it has committed and the call: what it does on waking.

import { describe, expect, test } from 'vitest'
import type { Platform } from '../../core/ports.ts'
import { failure, LIMITS, MINUTE, NOW, row, SECOND, SETUP } from '../core/fixtures.ts'
import { drained, liveRig, type Rig, rig } from './engine-fixtures.ts'

/** Whatever comes waits there until it is opened. */
function gate() {
  let pass = () => {}
  let passed = Promise.resolve()
  return {
    passed: () => passed,
    shut: () => {
      passed = new Promise((resolve) => {
        pass = resolve
      })
    },
    open: () => {
      pass()
      return drained()
    },
  }
}

const calls = ({ log }: Rig, what: string): string[] => log.filter((line) => line.startsWith(`${what} `))

const problemsOf = ({ notices }: Rig) => notices.flatMap((notice) => (notice.type === 'problem' ? notice.code : []))

/** The next life of a worker whose tokens are on the disk, `ms` later. It is held up wherever it opens one. */
async function frozenAtTheVault(ms = 0, platform: Partial<Platform> = {}) {
  const { disk } = await liveRig({ mode: 'persistent' })
  const next = rig({ mode: 'persistent', disk, incarnation: 'w2', platform })
  next.clock.time = NOW + ms
  const door = gate()
  const { open } = next.vault
  Object.assign(next.vault, { open: (sealed: never) => door.passed().then(() => open(sealed)) })
  door.shut()
  await next.pull()
  return { next, door }
}

describe('a try that could not leave in its time', () => {
  test('[EN25] attributes that were held up are told once, with the last word of them', async () => {
    const { next, door } = await frozenAtTheVault()
    await next.run({ type: 'set-context', key: 'one', delta: { page: 'old' } })
    await next.clock.advance(2 * SECOND)
    await next.run({ type: 'set-context', key: 'two', delta: { page: 'new' } })
    await next.clock.sleep(40 * SECOND)
    await door.open()
    await next.clock.advance(MINUTE)
    expect(calls(next, 'push')).toEqual(['push {"page":"new"}'])
  })

  test('[EN25] a message that was held up is sent once', async () => {
    const { next, door } = await frozenAtTheVault()
    await next.enqueue('a')
    await next.clock.sleep(40 * SECOND)
    await door.open()
    await next.clock.advance(MINUTE)
    expect(calls(next, 'send')).toEqual(['send a with access-1'])
  })

  test('[EN25] a session that was held up is asked for once', async () => {
    const { next, door } = await frozenAtTheVault(16 * MINUTE)
    await next.clock.sleep(40 * SECOND)
    await door.open()
    await next.clock.advance(MINUTE)
    expect(calls(next, 'open')).toHaveLength(1)
  })

  test('[EN26] what the disk took to be read is not taken from the time of a try', async () => {
    const { disk } = await liveRig()
    const next = rig({ disk, incarnation: 'w2' })
    next.clock.time = NOW + 16 * MINUTE
    const { store } = disk
    const turn = store.turn.bind(store)
    store.turn = async (wanted, decide) =>
      turn(wanted, (view) => {
        next.clock.time += 20 * SECOND
        store.turn = turn
        return decide(view)
      })
    const pulled = next.pull()
    await drained()
    expect(calls(next, 'open')).toHaveLength(1)
    await pulled
  })

  test('[MK6] what was read is told, also when the first word of it was held up', async () => {
    const told: number[] = []
    const mark: Platform['mark'] = async ({ seq }) => {
      told.push(seq)
      return { ok: true, value: null }
    }
    const capabilities = { ...SETUP.capabilities, limits: LIMITS, marks: true as const }
    const one = await liveRig({ platform: { mark, capabilities } })
    one.hear({ type: 'rows', rows: [row(1, { role: 'agent' })] })
    await one.clock.advance(SECOND)
    const { store } = one.disk
    const turn = store.turn.bind(store)
    store.turn = async (...asked) => {
      const said = await turn(...asked)
      one.clock.time += MINUTE
      store.turn = turn
      return said
    }
    await one.run({ type: 'mark-read' })
    await one.clock.advance(MINUTE)
    expect(told).toEqual([1])
  })

  test.each([
    { ms: 10 * SECOND, isAsked: true },
    { ms: 20 * SECOND, isAsked: false },
  ])('[EN25] with $ms ms gone an answer could still come in time: $isAsked', async ({ ms, isAsked }) => {
    const { next, door } = await frozenAtTheVault(16 * MINUTE)
    await next.clock.sleep(ms)
    await door.open()
    expect(calls(next, 'open')).toHaveLength(isAsked ? 1 : 0)
    await next.clock.advance(SECOND)
    expect(calls(next, 'open')).toHaveLength(1)
  })
})

describe('the token of a further lease', () => {
  test.each([
    { next: 'comes', answer: { ok: true, value: { accessToken: 'api', expiresInMs: MINUTE } }, told: [] },
    { next: 'fails', answer: failure('retry'), told: ['SERVICE_UNREACHABLE'] },
  ] as const)('[LE46] a try that was held up is told to nobody: the next one $next', async ({ answer, told }) => {
    const { disk } = await liveRig()
    let tries = 0
    const refresh = async () => {
      tries += 1
      return answer
    }
    const next = rig({ disk, incarnation: 'w2', sources: { api: { kind: 'reissue', refresh } } })
    const turn = disk.store.turn.bind(disk.store)
    let isHeldUp = false
    disk.store.turn = async (wanted, decide) => {
      const said = await turn(wanted, decide)
      if (isHeldUp || !/"type":"refresh".*"lease":"api"/.test(JSON.stringify(said))) return said
      isHeldUp = true
      next.clock.time += MINUTE
      return said
    }
    await next.pull()
    await drained()
    expect([isHeldUp, tries]).toEqual([true, 0])
    await next.clock.advance(MINUTE)
    expect(tries).toBeGreaterThan(0)
    expect(problemsOf(next)).toEqual(told)
  })
})

describe('an opening whose token is gone by the time it leaves', () => {
  const opens = (one: Rig) => calls(one, 'open').map((line) => line.replace(/key-\S+/, 'key'))

  test('[SN96] one that has run out meanwhile is refreshed first', async () => {
    const { disk } = await liveRig({ mode: 'persistent' })
    const door = gate()
    door.shut()
    const { store } = disk
    const turn: typeof store.turn = async (wanted, decide) => {
      const said = await store.turn(wanted, decide)
      // Frozen as it has decided to open, and before it has a token in hand.
      if (JSON.stringify(said).includes('"type":"open"')) await door.passed()
      return said
    }
    const next = rig({ mode: 'persistent', disk: { ...disk, store: { ...store, turn } }, incarnation: 'w2' })
    next.clock.time = NOW + 20 * MINUTE - SECOND
    const pulled = next.pull()
    await drained()
    await next.clock.sleep(2 * SECOND)
    await door.open()
    await pulled
    await next.clock.advance(MINUTE)
    expect([calls(next, 'refresh').length, opens(next)]).toEqual([1, ['open key with access-2']])
    expect(problemsOf(next)).toEqual([])
  })

  test('[SN96] one that cannot be unsealed just now is waited for', async () => {
    const { disk } = await liveRig({ mode: 'persistent' })
    let isFailing = true
    const vaultFails = () => {
      if (isFailing) throw new Error('The database is gone.')
    }
    const next = rig({ mode: 'persistent', disk, vaultFails, incarnation: 'w2' })
    next.clock.time = NOW + 16 * MINUTE
    await next.pull()
    await next.clock.advance(MINUTE)
    expect(opens(next)).toEqual([])
    isFailing = false
    await next.clock.advance(MINUTE)
    expect(opens(next)).toEqual([expect.stringMatching(/^open key with access-/)])
  })

  test('[SN97] a try that was held up is told to nobody', async () => {
    const { next, door } = await frozenAtTheVault(16 * MINUTE)
    await next.clock.sleep(40 * SECOND)
    await door.open()
    await next.clock.advance(MINUTE)
    expect(calls(next, 'open')).toHaveLength(1)
    expect(problemsOf(next)).toEqual([])
  })

  test('[SN97] the first that leaves behind it and fails is told, once', async () => {
    const open = async () => failure('retry')
    const { next, door } = await frozenAtTheVault(16 * MINUTE, { open })
    await next.clock.sleep(40 * SECOND)
    await door.open()
    await next.clock.advance(MINUTE)
    expect(problemsOf(next)).toEqual(['SERVICE_UNREACHABLE'])
  })
})
