// What every driver under the session service owes, and what the store makes of it. One suite: for the
// embedded SQLite now, for each further database as it comes.
import { randomUUID } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import type { Driver, Query } from '../../server/drivers/driver.ts'
import { SCHEMA_VERSION } from '../../server/schema.ts'
import type { Caller } from '../../server/session.ts'
import { SqlStore } from '../../server/store.ts'

const DAY_MS = 24 * 3600_000
const LIMITS = { sessionMs: 7 * DAY_MS, idleMs: 7 * DAY_MS, archiveMs: DAY_MS }
const NOW = 1_900_000_000_000
const times = <T>(n: number, make: (index: number) => T): T[] => Array.from({ length: n }, (_, index) => make(index))

/** @param open a driver over an empty database */
export function sqlStoreContract(name: string, open: () => Promise<Driver>): void {
  let driver: Driver
  beforeEach(async () => {
    driver = await open()
    return () => driver.close()
  })

  describe(`driver: ${name}`, () => {
    beforeEach(() => driver.script('create table note (id text primary key, n bigint, body text)'))
    const add = (q: Query, id: string, n = 1) => q('insert into note (id, n) values ($1, $2)', [id, n])
    const ids = async () => (await driver.q('select id from note order by id')).map((row) => row['id'])

    test('[SV44] parameters are bound by number, in any order and more than once', async () => {
      const rows = await driver.q('select $2 as b, $1 as a, $2 as again, $3 as none', ['one', 'two', null])
      expect(rows).toEqual([{ b: 'two', a: 'one', again: 'two', none: null }])
    })

    test('[SV44] instants and text come back as they were given', async () => {
      const body = '\u0001 "quoted" é 👩‍👩‍👧'
      await driver.q('insert into note (id, n, body) values ($1, $2, $3)', ['a', NOW, body])
      expect(await driver.q('select n, body from note')).toEqual([{ n: NOW, body }])
    })

    test('[SV44] a transaction is all or nothing', async () => {
      const failure = new Error('no')
      const failing = driver.tx(async (q) => {
        await add(q, 'a')
        await add(q, 'b')
        throw failure
      })
      await expect(failing).rejects.toBe(failure)
      expect(await ids()).toEqual([])
      await driver.tx(async (q) => {
        await add(q, 'a')
        await add(q, 'b')
      })
      expect(await ids()).toEqual(['a', 'b'])
    })

    test('[SV44] of transactions at the same instant, those that fail take nobody with them', async () => {
      const all = times(50, (index) =>
        driver.tx(async (q) => {
          await add(q, `id-${String(index).padStart(2, '0')}`)
          if (index % 3 === 0) throw new Error('no')
          if (index % 3 === 1) await add(q, 'the same id for all')
          return index
        }),
      )
      const settled = await Promise.allSettled(all)
      const done = settled.flatMap((one, index) => (one.status === 'fulfilled' ? [index] : []))
      // One of the middle third gets the id that they all want; the others of it break the primary key.
      expect(done.filter((index) => index % 3 === 1)).toHaveLength(1)
      expect(done.filter((index) => index % 3 === 2)).toHaveLength(16)
      expect(await ids()).toHaveLength(18)
    })

    test('[SV44] nobody reads what is not committed', async () => {
      const seen: number[] = []
      const look = async () => seen.push(Number((await driver.q('select count(*) as n from note'))[0]?.['n']))
      const looks: Promise<unknown>[] = []
      const writing = driver.tx(async (q) => {
        await add(q, 'a')
        looks.push(look())
        await add(q, 'b')
        looks.push(look())
        throw new Error('no')
      })
      await expect(writing).rejects.toThrow('no')
      await Promise.all(looks)
      expect(seen).toEqual([0, 0])
    })

    test('[SV44] counters raced by transactions lose nothing', async () => {
      await add(driver.q, 'counter', 0)
      const answers = await Promise.all(
        times(100, () => driver.tx((q) => q(`update note set n = n + 1 where id = 'counter' returning n`))),
      )
      expect(answers.map((rows) => Number(rows[0]?.['n'])).sort((a, b) => a - b)).toEqual(
        times(100, (index) => index + 1),
      )
    })
  })

  describe(`store: ${name}`, () => {
    let store: SqlStore
    beforeEach(async () => {
      store = await SqlStore.open(driver, LIMITS)
    })

    async function customer(keyHash: string = randomUUID()): Promise<Extract<Caller, { role: 'customer' }>> {
      const answer = await store.sessions.open(
        { deploymentId: 'demo', keyHash, fresh: { sessionId: randomUUID(), familyId: randomUUID() } },
        NOW,
      )
      if (answer.type === 'wait') throw new Error('wait')
      return {
        role: 'customer',
        deploymentId: 'demo',
        sessionId: answer.session.id,
        familyId: answer.family.id,
        generation: 1,
      }
    }
    const begin = (caller: Extract<Caller, { role: 'customer' }>) =>
      store.starter.create(
        {
          caller,
          channelId: 'web',
          attributes: {},
          routing: {},
          requestHash: 'h',
          fresh: { conversationId: randomUUID(), participantId: randomUUID() },
        },
        NOW,
      )
    async function conversation() {
      const caller = await customer()
      const begun = await begin(caller)
      if (begun.type === 'refused') throw new Error(begun.code)
      return { caller, id: begun.answer.id }
    }
    const post = (at: { caller: Caller; id: string }, key: string, text = 'x') =>
      store.messages.post(
        {
          conversationId: at.id,
          caller: at.caller,
          key,
          requestHash: text,
          body: { text, contentType: 'text/plain' },
          freshId: randomUUID(),
        },
        NOW,
      )

    test('[SV44] opening the tables again changes nothing, and a newer schema is left alone', async () => {
      const at = await conversation()
      await SqlStore.open(driver, LIMITS)
      expect((await store.conversations.row(at.id))?.state).toBe('pending')
      await driver.q('insert into schema_version (version) values ($1)', [SCHEMA_VERSION + 1])
      await expect(SqlStore.open(driver, LIMITS)).rejects.toThrow('newer program')
    })

    test('[SV1] one key, raced, opens one session', async () => {
      const callers = await Promise.all(times(40, () => customer('one-key')))
      expect(new Set(callers.map(({ sessionId }) => sessionId)).size).toBe(1)
    })

    test('[SV14] one session, raced, has one open conversation', async () => {
      const caller = await customer()
      const answers = await Promise.all(times(40, () => begin(caller)))
      expect(answers.filter(({ type }) => type === 'created')).toHaveLength(1)
      expect(new Set(answers.map((one) => 'answer' in one && one.answer.id)).size).toBe(1)
    })

    test('[SV22] raced appends with doubled, refused and repeated keys are dense', async () => {
      const [at, stranger] = [await conversation(), await conversation()]
      await Promise.all(
        times(60, (index) => [
          post(at, `key-${index}`),
          post(at, `key-${index}`),
          post(at, `key-${index}`, 'another text'),
          post({ caller: stranger.caller, id: at.id }, `key-${index}`),
        ]).flat(),
      )
      const messages = await store.messages.after(at.id, 0, 1000)
      expect(messages.map(({ seq }) => seq)).toEqual(times(60, (index) => index + 1))
      expect(new Set(messages.map(({ key }) => key)).size).toBe(60)
      expect((await store.conversations.row(at.id))?.lastSeq).toBe(60)
    })

    test('[SV7] one refresh token, raced, has one successor', async () => {
      const { familyId } = await customer()
      const answers = await Promise.all(
        times(6, (index) => store.sessions.refresh({ familyId, generation: 1, keyHash: `k${index}` }, NOW)),
      )
      expect(answers.map(({ type }) => type).sort()).toEqual([...Array(5).fill('replayed'), 'rotated'])
      expect(new Set(answers.map((one) => 'family' in one && one.family.generation))).toEqual(new Set([2]))
    })

    test('[SV38] one context value, raced from one version, is written once', async () => {
      const answers = await Promise.all(
        times(20, (index) => store.contexts.put('session:s', 'cart', index, { ifVersion: 0 }, NOW)),
      )
      expect(answers.filter(({ type }) => type === 'done')).toHaveLength(1)
      expect(answers.filter(({ type }) => type === 'conflict')).toHaveLength(19)
    })

    test('[SV16] one conversation, patched at once from one version, changes once', async () => {
      const at = await conversation()
      const answers = await Promise.all(
        times(20, (index) =>
          store.conversations.patch(at.id, at.caller, { attributes: { n: index }, routing: {}, ifVersion: 1 }, NOW),
        ),
      )
      expect(answers.filter(({ type }) => type === 'done')).toHaveLength(1)
      expect(answers.filter(({ type }) => type === 'conflict')).toHaveLength(19)
    })

    test('[SV45] a sweep expires what is idle, then archives it, and nothing else', async () => {
      const [idle, busy] = [await conversation(), await conversation()]
      await driver.q('update conversation set updated_at = $2 where id = $1', [busy.id, NOW + 5 * DAY_MS])
      expect(await store.sweep(NOW + 7 * DAY_MS + 1)).toEqual([idle.id])
      expect(await store.sweep(NOW + 8 * DAY_MS + 2)).toEqual([idle.id])
      expect((await store.conversations.row(idle.id))?.state).toBe('archived')
      expect((await store.conversations.row(busy.id))?.state).toBe('pending')
      expect((await store.sessions.session(idle.caller.sessionId))?.state).toBe('expired')
    })
  })
}
