// A chaos run: tabs that speak while everything around them is killed and cut off; then all is well again, and every
// message that was accepted is looked for at the service. What was accepted is known here, outside of the browser.

import { pickFault } from './chaos-faults.ts'
import { type ChaosOptions, type ChaosState, type ChaosTab, ChaosWorld } from './chaos-world.ts'
import { check, type Recorded, type Said, type Shown } from './checker.ts'
import { Dice } from './dice.ts'

/** Enough for an hour, and few enough to be audited. */
const MESSAGES_MAX = 20_000
const PROGRESS_MS = 10_000
/** Between two faults, and between two acts of a tab, on the average. */
const FAULT_MS = 700
const ACT_MS = 250
/** When all is well again, so long may it take until everything has arrived. */
const HEAL_MS = 120_000
/** Of what passed the proxy last, when something is stuck. */
const EXCHANGES_SHOWN = 30

export interface ChaosRun extends ChaosOptions {
  readonly seed: number
  readonly ms: number
  log(line: string): void
}

export interface ChaosResult {
  readonly minutes: number
  readonly seed: number
  readonly accepted: number
  /** Calls whose answer never came, because the page or the browser was killed under them, and refusals with a code. */
  readonly unanswered: number
  readonly lost: number
  readonly duplicated: number
  readonly reordered: number
  readonly leaked: number
  /** Tabs that were not live with an empty outbox in time. */
  readonly stuck: number
  readonly kills: { readonly [what: string]: number }
  readonly faults: { readonly [name: string]: number }
  readonly healSeconds: number
  /** A sentence for each thing that is wrong. */
  readonly findings: readonly string[]
}

export async function runChaos(options: ChaosRun): Promise<ChaosResult> {
  const world = await ChaosWorld.start(options)
  try {
    return await new Running(world, options).run()
  } finally {
    await world.close()
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

class Running {
  readonly #world: ChaosWorld
  readonly #options: ChaosRun
  readonly #said: Mutable<Said>[] = []
  readonly #kills: { [what: string]: number } = { worker: 0, tab: 0, browser: 0, server: 0 }
  readonly #faults: { [name: string]: number } = {}
  readonly #refusals: { [code: string]: number } = {}
  readonly #shown: Shown[] = []
  #isOver = false

  constructor(world: ChaosWorld, options: ChaosRun) {
    this.#world = world
    this.#options = options
  }

  async run(): Promise<ChaosResult> {
    const { seed, ms, log } = this.#options
    const startedAt = performance.now()
    const progress = setInterval(() => log(this.#progress(performance.now() - startedAt)), PROGRESS_MS)
    const over = setTimeout(() => {
      this.#isOver = true
    }, ms)
    try {
      const actors = this.#world.slots.map((slot) => this.#act(slot, new Dice(seed * 100 + slot)))
      await Promise.all([...actors, this.#harm(new Dice(seed * 100 + 99))])
      const healedFrom = performance.now()
      const stuck = await this.#heal()
      const healSeconds = round((performance.now() - healedFrom) / 1_000)
      return await this.#audit(stuck, healSeconds)
    } finally {
      clearInterval(progress)
      clearTimeout(over)
    }
  }

  /** One slot: somebody who speaks, reloads, and opens another tab when this one is gone. */
  async #act(slot: number, dice: Dice): Promise<void> {
    while (!this.#isOver) {
      await pause(dice.wait(ACT_MS))
      try {
        const tab = await this.#world.tab(slot)
        await this.#actOn(tab, slot, dice).catch((error: unknown) => {
          this.#world.forget(tab)
          throw error
        })
      } catch {
        // Killed under our hands. That is the point of it; the next round begins with another tab.
      }
    }
  }

  async #actOn(tab: ChaosTab, slot: number, dice: Dice): Promise<void> {
    if (dice.chance(0.03)) return this.#world.reload(slot)
    if (dice.chance(0.05)) {
      const value = JSON.stringify(`${dice.whole(1, 1_000)}.00`)
      return this.#world.ask(tab, `chat.context.set({ cart_value: ${value} }).catch(() => {})`)
    }
    if (dice.chance(0.05)) this.#shown.push({ tab: tab.name, messages: (await this.#world.state(tab)).messages })
    if (this.#said.length < MESSAGES_MAX) await this.#say(tab, dice.chance(0.1) ? dice.whole(2, 20) : 1)
  }

  /** Some messages in one breath, each with a text of its own. */
  async #say(tab: ChaosTab, count: number): Promise<void> {
    const calledAt = performance.now()
    const said: Mutable<Said>[] = Array.from({ length: count }, () => {
      const order = tab.calls++
      return { text: `${tab.name}, call ${order}`, tab: tab.name, order, calledAt }
    })
    this.#said.push(...said)
    const texts = JSON.stringify(said.map(({ text }) => text))
    const send = `chat.send(text).then(({ key }) => ({ key }), ({ code, message }) => ({ code: code ?? message }))`
    const answers = await this.#world.ask<{ key?: string; code?: string }[]>(
      tab,
      `Promise.all(${texts}.map((text) => ${send}))`,
    )
    const acceptedAt = performance.now()
    for (const [index, { key, code }] of answers.entries()) {
      if (key !== undefined) Object.assign(said[index] as Said, { key, acceptedAt })
      else tally(this.#refusals, code ?? 'unknown')
    }
  }

  async #harm(dice: Dice): Promise<void> {
    while (!this.#isOver) {
      await pause(dice.wait(FAULT_MS))
      const fault = pickFault(dice)
      tally(this.#faults, fault.name)
      if (fault.kills !== undefined) tally(this.#kills, fault.kills)
      await fault.run(this.#world, dice).catch((error: Error) => {
        // Its victim was gone already. A service or a browser that does not start again shows at the end.
        tally(this.#faults, `${fault.name}: ${error.message.slice(0, 60)}`)
      })
    }
  }

  /** Takes every fault away and waits until each tab is live and has nothing more to send. */
  async #heal(): Promise<string[]> {
    const { proxy } = this.#world
    proxy.clear()
    proxy.offline(false)
    proxy.halfOpen(false)
    proxy.reset()
    return (await Promise.all(this.#world.slots.map((slot) => this.#healed(slot)))).filter((one) => one !== '')
  }

  async #healed(slot: number): Promise<string> {
    const from = performance.now()
    const isWell = `(({ phase, outbox }) => phase === 'live' && outbox.queued + outbox.inflight === 0)`
    const wait = `new Promise((resolve) => { let stop; stop = chat.subscribe((state) => { if (${isWell}(state)) { resolve(true); queueMicrotask(() => stop()) } }) })`
    for (let isSecond = false; ; isSecond = true) {
      try {
        const tab = await this.#world.tab(slot)
        let state: ChaosState | undefined
        await this.#world.ask(tab, wait, HEAL_MS).catch(async (error: unknown) => {
          state = await this.#world.state(tab).catch(() => undefined)
          if (state === undefined) {
            this.#world.forget(tab)
            throw error
          }
        })
        if (state !== undefined) {
          const { messages: _, ...rest } = state
          const report = await this.#world.ask(tab, 'chat.diagnose()').catch((error: Error) => error.message)
          return `stuck: ${tab.name} ${HEAL_MS} ms after the last fault: ${JSON.stringify({ ...rest, report })}`
        }
        const { host, messages } = await this.#world.state(tab)
        this.#shown.push({ tab: tab.name, messages })
        this.#options.log(`${tab.name} is well after ${round((performance.now() - from) / 1_000)} s, by ${host}`)
        return ''
      } catch (error) {
        // A page that was crashing when the faults ended is given up for another.
        if (isSecond) return `stuck: no tab can be opened: ${(error as Error).message}`
      }
    }
  }

  async #audit(stuck: readonly string[], healSeconds: number): Promise<ChaosResult> {
    const { service } = this.#world
    const record: Recorded[] = []
    const conversations = await service.conversations()
    for (const { id } of conversations) {
      for (const message of await service.messages(id)) record.push({ ...message, conversationId: id })
    }
    const { lost, duplicated, reordered, leaked } = check({ said: this.#said, record, shown: this.#shown })
    if (stuck.length > 0) {
      for (const { method, path, status } of this.#world.proxy.exchanges.slice(-EXCHANGES_SHOWN))
        this.#options.log(`${method} ${path}: ${status ?? 'no answer'}`)
    }
    const others = conversations.length > 1 ? [`There are ${conversations.length} conversations of one visitor.`] : []
    const accepted = this.#said.filter(({ acceptedAt }) => acceptedAt !== undefined).length
    const foundLeaked = [...leaked, ...others]
    const named = { lost, duplicated, reordered, leaked: foundLeaked }
    const findings = Object.entries(named).flatMap(([kind, found]) => found.map((one) => `${kind}: ${one}`))
    for (const [code, count] of Object.entries(this.#refusals)) this.#options.log(`refused with ${code}: ${count}`)
    return {
      minutes: round(this.#options.ms / 60_000),
      seed: this.#options.seed,
      accepted,
      unanswered: this.#said.length - accepted,
      lost: lost.length,
      duplicated: duplicated.length,
      reordered: reordered.length,
      leaked: foundLeaked.length,
      stuck: stuck.length,
      kills: this.#kills,
      faults: this.#faults,
      healSeconds,
      findings: [...stuck, ...findings],
    }
  }

  #progress(ms: number): string {
    const accepted = this.#said.filter(({ acceptedAt }) => acceptedAt !== undefined).length
    const kills = Object.entries(this.#kills).map(([what, count]) => `${count} ${what}`)
    const faults = Object.values(this.#faults).reduce((sum, count) => sum + count, 0)
    const sent = this.#world.proxy.count(/^POST .*\/messages$/)
    const done = this.#isOver ? ', healing' : ''
    return `${Math.round(ms / 1_000)} s: ${accepted} of ${this.#said.length} accepted, ${sent} posts, ${faults} faults, killed: ${kills.join(', ')}${done}`
  }
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const round = (value: number): number => Math.round(value * 100) / 100

function tally(counts: { [name: string]: number }, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1
}
