// Back after a time without the service: what ends the waiting, and what does not.
import { describe, expect, test } from 'vitest'
import { phaseOf } from '../../core/snapshot.ts'
import { failure, MINUTE, Play, SECOND, UNREACHABLE } from './fixtures.ts'

describe('back after a time without the service', () => {
  async function silent(): Promise<Play> {
    const play = await new Play().live()
    await play.turn({
      type: 'stream',
      report: { type: 'ended', claim: play.claimOf('connect'), verdict: 'retry', reason: 'cut' },
      generation: play.generation(),
      conversationId: 'c1',
    })
    await play.enqueue('k1')
    await play.turn({
      type: 'sent',
      lane: '1',
      claim: play.claimOf('send'),
      outcome: UNREACHABLE,
      generation: play.generation(),
      conversationId: 'c1',
    })
    return play
  }
  const waits = ({ slots }: Play) => [slots.outbox.lanes['1']?.attempt.status, slots.session.isOnline]

  test('[SN48] the first answer after silence ends every backoff', async () => {
    const play = await silent()
    expect(waits(play)).toEqual(['waiting', false])
    await play.turn({
      type: 'stream',
      report: { type: 'opened', claim: play.slots.session.stream.attempt as never, headSeq: 0 },
      generation: play.generation(),
      conversationId: 'c1',
    })
    expect(waits(play)).toEqual(['running', true])
  })

  test.each([true, false])('[SN51] an end of the stream says whether anybody was there: %s', async (isUnreachable) => {
    const play = await new Play().live()
    const claim = play.claimOf('connect')
    await play.heard({ type: 'ended', claim, verdict: 'retry', reason: 'cut', isUnreachable })
    expect(play.slots.session.isOnline).toBe(!isUnreachable)
  })

  test('[SN48] a wish of the server is kept all the same', async () => {
    const play = await silent()
    await play.after(30 * SECOND)
    const outcome = failure('retry-at', { retryAfterMs: MINUTE })
    await play.turn({
      type: 'sent',
      lane: '1',
      claim: play.claimOf('send'),
      outcome,
      generation: play.generation(),
      conversationId: 'c1',
    })
    await play.turn({
      type: 'stream',
      report: { type: 'opened', claim: play.slots.session.stream.attempt as never, headSeq: 0 },
      generation: play.generation(),
      conversationId: 'c1',
    })
    expect(waits(play)[0]).toBe('waiting')
  })

  test('[SN49] a second try shows as the trouble that it is: the phase does not flicker', async () => {
    const play = await silent()
    await play.after(30 * SECOND)
    expect(play.slots.session.stream.attempt.status).toBe('running')
    expect(phaseOf(play.slots, play.now)).toBe('reconnecting')
  })
})
