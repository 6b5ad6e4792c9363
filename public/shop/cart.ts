// The cart: its button, its dialog, and its only home, the chat's context. There is no other copy on the disk,
// so what survives a reload, and what a second tab shows, is what holdfast kept.

import type { Chat } from 'holdfast'
import { art, byId, h, ICONS, icon, keepFocus, reconcile, setText } from '../dom.ts'
import { type Basket, centsOf, changeQuantity, countOf, fromAttributes, toAttributes } from './basket.ts'
import { euros, productOf } from './products.ts'

export interface Cart {
  add(id: string): void
  /** Shows the context as it is now, changed by this tab or by another. */
  refresh(): void
  connect(context: Chat['context']): void
}

export function makeCart(onProblem: (error: unknown) => void): Cart {
  let basket: Basket = new Map()
  let context: Chat['context'] | undefined

  const view = makeDialog(change)
  view.render(basket)

  function change(id: string, by: number): void {
    basket = changeQuantity(basket, id, by)
    view.render(basket)
    if (context !== undefined) void write(context)
  }

  async function write(to: Chat['context']): Promise<void> {
    const { cart_items, cart_value } = toAttributes(basket)
    try {
      if (cart_items === null || cart_value === null) await to.remove('cart_items', 'cart_value')
      else await to.set({ cart_items, cart_value })
    } catch (error) {
      onProblem(error)
      refresh()
    }
  }

  function refresh(): void {
    if (context === undefined) return
    basket = fromAttributes(context.get())
    view.render(basket)
  }

  return {
    add: (id) => change(id, 1),
    refresh,
    connect(to) {
      context = to
      // What was taken before the chat was there is added to what was kept.
      const early = basket
      refresh()
      for (const [id, quantity] of early) change(id, quantity)
    },
  }
}

function makeDialog(change: (id: string, by: number) => void): { render(basket: Basket): void } {
  const dialog = byId<HTMLDialogElement>('cart')
  const count = byId('cart-count')
  const opener = byId<HTMLButtonElement>('open-cart')
  const lines = h('ul')
  const total = h('span')
  const empty = h('p', { class: 'note' }, 'Nothing in it yet. Take a lantern; it gets dark early.')
  const sum = h('p', { class: 'total', 'aria-live': 'polite' }, h('span', {}, 'Together'), total)
  const close = h('button', { class: 'close', type: 'button', 'aria-label': 'Close the cart' }, icon(ICONS.close))
  close.addEventListener('click', () => dialog.close())
  // The last one of a thing takes its line with it.
  keepFocus(dialog, () => [...dialog.querySelectorAll<HTMLElement>('.stepper button'), close])
  opener.addEventListener('click', () => dialog.showModal())
  // A click on the backdrop is a click on the dialog itself, outside of everything in it.
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close())
  dialog.append(
    h('div', { class: 'sheet-head' }, h('h2', { id: 'cart-title' }, 'Your cart'), close),
    h(
      'div',
      { class: 'sheet-body' },
      lines,
      empty,
      sum,
      h(
        'p',
        { class: 'note' },
        'Kept as cart_items and cart_value in the chat’s context: the agent sees every change.',
      ),
    ),
  )

  return {
    render(basket) {
      const pieces = countOf(basket)
      setText(count, String(pieces))
      count.classList.toggle('filled', pieces > 0)
      opener.setAttribute(
        'aria-label',
        `Cart, ${pieces} ${pieces === 1 ? 'piece' : 'pieces'}, ${euros(centsOf(basket))}`,
      )
      empty.hidden = pieces > 0
      sum.hidden = pieces === 0
      setText(total, euros(centsOf(basket)))
      reconcile(
        lines,
        [...basket],
        ([id]) => id,
        ([id]) => makeLine(id, change),
        updateLine,
      )
    },
  }
}

function makeLine(id: string, change: (id: string, by: number) => void): HTMLElement {
  const name = productOf(id)?.name ?? id
  const step = (by: number, sign: string, word: string): HTMLElement =>
    h('button', { type: 'button', 'aria-label': `${word}: ${name}`, onclick: () => change(id, by) }, sign)
  return h(
    'li',
    { class: 'line' },
    h('span', { class: `tile ${productOf(id)?.tile ?? 'sand'}` }, art(id)),
    h('span', {}, h('span', { class: 'line-name' }, name), h('br'), h('span', { class: 'line-price' })),
    h(
      'span',
      { class: 'stepper' },
      step(-1, '−', 'One less'),
      h('span', { class: 'line-count' }),
      step(1, '+', 'One more'),
    ),
  )
}

function updateLine(element: HTMLElement, [id, quantity]: readonly [string, number]): void {
  const each = productOf(id)?.cents ?? 0
  setText(
    element.querySelector('.line-price') as Element,
    quantity === 1 ? euros(each) : `${quantity} × ${euros(each)}`,
  )
  setText(element.querySelector('.line-count') as Element, String(quantity))
}
