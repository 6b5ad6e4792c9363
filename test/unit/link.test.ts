// The page's end of the link, over real ports: silence, death, errors, letting go.
import { expect, test } from 'vitest'
import { HoldfastError } from '../../core/errors.ts'
import { lifeLockOf } from '../../core/wire.ts'
import { CALL_TIMEOUT_MS, LONG_CALL_TIMEOUT_MS } from '../../src/link.ts'
import { OPEN_TIMEOUT_MS, OPERATION_TIMEOUT_MS } from '../../sw/store-connection.ts'
import { CALLER, FakeWorker, setUp, until } from './client-fixtures.ts'

const DIAGNOSE = { type: 'diagnose' } as const

test('[LK1] a call is one port of its own, and the worker is let go at its end', async () => {
  const { worker, link, browser } = setUp()
  await link.run(CALLER, DIAGNOSE)
  await link.run(CALLER, DIAGNOSE)
  expect(worker.calls).toHaveLength(2)
  await until(() => expect(worker.ports).toBe(0))
  expect(browser.timers).toEqual([])
})

test('[LK2] a call that meets silence is made once more, and its answer counts', async () => {
  const { worker, workers, link, browser } = setUp()
  worker.isSilent = true
  const answer = link.run(CALLER, { type: 'list-outbox' })
  await until(() => expect(browser.timers).toEqual([CALL_TIMEOUT_MS]))
  workers.current = new FakeWorker()
  workers.current.answers['list-outbox'] = () => ['second']
  browser.advance(CALL_TIMEOUT_MS)
  expect(await answer).toEqual(['second'])
})

test('[LK2] two silences reject with LINK_TIMEOUT', async () => {
  const { worker, link, browser } = setUp()
  worker.isSilent = true
  const answer = link.run(CALLER, DIAGNOSE)
  answer.catch(() => {})
  await until(() => expect(browser.timers).toHaveLength(1))
  browser.advance(CALL_TIMEOUT_MS)
  await until(() => expect(browser.timers).toHaveLength(1))
  browser.advance(CALL_TIMEOUT_MS)
  await expect(answer).rejects.toMatchObject({ name: 'HoldfastError', code: 'LINK_TIMEOUT' })
  expect(browser.timers).toEqual([])
})

test('[LK17] the repeat of a call that keeps a message waits until a disk that hangs is given up', async () => {
  expect(LONG_CALL_TIMEOUT_MS).toBeGreaterThan(OPEN_TIMEOUT_MS + 2 * OPERATION_TIMEOUT_MS)
  const { worker, link, browser } = setUp()
  worker.isSilent = true
  const answer = link.run(CALLER, { type: 'enqueue', messages: [] })
  await until(() => expect(browser.timers).toEqual([CALL_TIMEOUT_MS]))
  browser.advance(CALL_TIMEOUT_MS)
  await until(() => expect(browser.timers).toEqual([LONG_CALL_TIMEOUT_MS]))
  browser.advance(LONG_CALL_TIMEOUT_MS)
  await expect(answer).rejects.toMatchObject({ code: 'LINK_TIMEOUT' })
})

test('[LK2] what reads or wipes a lot has a longer deadline', async () => {
  const { worker, link, browser } = setUp()
  worker.isSilent = true
  link.run(CALLER, { type: 'logout', unsent: 'refuse' }).catch(() => {})
  await until(() => expect(browser.timers).toEqual([LONG_CALL_TIMEOUT_MS]))
})

test('[LK3] a call that is pending when the worker dies is repeated at once', async () => {
  const { worker, workers, link, browser } = setUp()
  await link.run(CALLER, DIAGNOSE)
  worker.answers['list-outbox'] = () => new Promise(() => {})
  const answer = link.run(CALLER, { type: 'list-outbox' })
  await until(() => expect(worker.commands('list-outbox')).toHaveLength(1))
  workers.current = Object.assign(new FakeWorker(), { incarnation: 'i2' })
  workers.current.answers['list-outbox'] = () => []
  browser.release(lifeLockOf('i1'))
  expect(await answer).toEqual([])
  expect(workers.deaths).toBe(1)
  expect(browser.time, 'no deadline had to pass').toBe(1_000_000)
})

test('[LK3] a death does not end a second try, which may be with a worker that lives', async () => {
  const { worker, workers, link, browser } = setUp()
  await link.run(CALLER, DIAGNOSE)
  worker.isSilent = true
  const answer = link.run(CALLER, { type: 'list-outbox' })
  await until(() => expect(browser.timers).toHaveLength(1))
  workers.current = Object.assign(new FakeWorker(), { incarnation: 'i2' })
  let give = (_: unknown) => {}
  workers.current.answers['list-outbox'] = () =>
    new Promise((resolve) => {
      give = resolve
    })
  browser.advance(CALL_TIMEOUT_MS)
  await until(() => expect(workers.current.calls).toHaveLength(1))
  browser.release(lifeLockOf('i1'))
  give([])
  expect(await answer).toEqual([])
})

test('[LK3] each incarnation is watched once, and its death told once', async () => {
  const { worker, link, browser } = setUp()
  let deaths = 0
  link.onDeath = () => {
    deaths += 1
  }
  await link.run(CALLER, DIAGNOSE)
  await link.run(CALLER, DIAGNOSE)
  expect(browser.awaited).toEqual([lifeLockOf('i1')])
  browser.release(lifeLockOf('i1'))
  worker.incarnation = 'i2'
  await link.run(CALLER, DIAGNOSE)
  expect(deaths).toBe(1)
  expect(browser.awaited).toEqual([lifeLockOf('i2')])
})

test('[LK4] an error keeps its code across the link, and a wrong argument stays a TypeError', async () => {
  const { worker, link } = setUp()
  worker.answers.cancel = () => Promise.reject(new HoldfastError('OUTBOX_INFLIGHT', 'It is on its way.'))
  worker.answers.retry = () => Promise.reject(new TypeError('No.'))
  const error = await link.run(CALLER, { type: 'cancel', key: 'k' }).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(HoldfastError)
  expect(error).toMatchObject({ code: 'OUTBOX_INFLIGHT', message: 'It is on its way.' })
  await expect(link.run(CALLER, { type: 'retry', key: 'k' })).rejects.toBeInstanceOf(TypeError)
  await until(() => expect(worker.ports).toBe(0))
})

test('[LK5] a mismatch of versions looks for a new worker once, and rejects without a second call', async () => {
  const { worker, workers, link } = setUp()
  worker.answers.pull = () => Promise.reject(new HoldfastError('PROTOCOL_MISMATCH', 'Reload the page.'))
  await expect(link.run(CALLER, { type: 'pull', keys: [] })).rejects.toMatchObject({ code: 'PROTOCOL_MISMATCH' })
  expect(workers.updates).toBe(1)
  expect(worker.calls).toHaveLength(1)
})

test('[LK6] a ping is an event without a port', async () => {
  const { worker, link } = setUp()
  link.ping(CALLER)
  await until(() => expect(worker.pings).toEqual([CALLER]))
  expect(worker.calls).toEqual([])
})

test('[LK16] news comes on the port of the newest call for the state, and each picture is acknowledged', async () => {
  const { worker, link } = setUp()
  worker.shows = true
  const seen: number[] = []
  link.onNews = ({ unread }) => seen.push(unread)
  await link.run(CALLER, { type: 'pull', keys: [] })
  await link.run(CALLER, DIAGNOSE)
  worker.show({ unread: 1 })
  await until(() => expect(seen).toEqual([1]))
  await until(() => expect(worker.ports).toBe(1))
  await link.run(CALLER, { type: 'pull', keys: [] })
  await until(() => expect(worker.ports).toBe(1))
  worker.show({ unread: 2 })
  await until(() => expect(worker.acknowledged).toBe(2))
  expect(seen).toEqual([1, 2])
})
