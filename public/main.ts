// The shop page: puts the parts together around one chat. This is all that a site has to do to use holdfast:
// connect, subscribe, send. Everything else here is the shop.

import { type Chat, connect, type State } from 'holdfast'
import { Widget } from './chat/widget.ts'
import { steadyPhase } from './chat/words.ts'
import { makeCart } from './shop/cart.ts'
import { makeCatalogue } from './shop/catalogue.ts'
import { makeSufferPanel } from './suffer/panel.ts'

const WORKER = '/holdfast/sw.js?config=/holdfast/config.json'

const suffer = makeSufferPanel()
const widget = new Widget(suffer.toggle)
const cart = makeCart(widget.showProblem)
const catalogue = makeCatalogue({
  onAdd: ({ id }) => cart.add(id),
  onView: ({ name }) => note({ last_viewed: name }),
  onFilter: (category) => note({ shop_filter: category }),
})
let chat: Chat | undefined
let phase: State['phase'] = 'starting'

/** What the visitor looks at helps the agent; the shop works without it. */
function note(attributes: { readonly [name: string]: string }): void {
  chat?.context.set(attributes).catch(widget.showProblem)
}

function show(to: Chat, state: State): void {
  phase = steadyPhase(phase, state.phase)
  document.documentElement.dataset['weather'] = weatherOf(phase)
  widget.render(state)
  suffer.render(state)
  cart.refresh()
  catalogue.showFilter(to.context.get()['shop_filter'])
}

function weatherOf(phase: State['phase']): 'calm' | 'storm' | 'fog' {
  if (phase === 'live') return 'calm'
  return phase === 'reconnecting' || phase === 'auth-required' ? 'storm' : 'fog'
}

async function start(): Promise<void> {
  try {
    const connected = await connect({ worker: WORKER, deployment: 'demo' })
    chat = connected
    widget.connect(connected)
    suffer.connect(connected)
    cart.connect(connected.context)
    connected.subscribe((state) => show(connected, state))
  } catch (error) {
    widget.showProblem(error, () => void start())
    widget.open()
  }
}

void start()
