// What is known about the customer: the cart as they have it now, what they looked at, every other attribute.
// What changed a moment ago lights up.

import { art, byId, h, setText } from '../dom.ts'
import { centsOf, fromAttributes } from '../shop/basket.ts'
import { euros, productOf } from '../shop/products.ts'
import { queueOf } from './inbox.ts'
import { type Conversation, type Model, nameOf } from './model.ts'

/** Attributes with a place of their own; the others are listed by name. */
const KNOWN_NAMES = ['cart_items', 'cart_value', 'last_viewed', 'shop_filter']

export function makeCustomer(): { render(model: Model, conversation: Conversation | undefined): void } {
  const root = byId('customer')
  let drawn = ''

  return {
    render(model, conversation) {
      const changed = conversation && model.changed.get(conversation.id)
      const picture = `${conversation?.id} ${conversation?.version} ${changed?.count}`
      if (picture === drawn) return
      const isSame = drawn.startsWith(`${conversation?.id} `)
      drawn = picture
      root.hidden = conversation === undefined
      if (conversation === undefined) return
      // Only what changed while it was on the screen lights up.
      root.replaceChildren(...content(conversation, new Set(isSame ? changed?.names : [])))
    },
  }
}

function content(conversation: Conversation, changed: ReadonlySet<string>): HTMLElement[] {
  const attributes = conversation.customAttributes
  const text = (name: string): string => (typeof attributes[name] === 'string' ? (attributes[name] as string) : '')
  const others = Object.keys(attributes).filter((name) => !KNOWN_NAMES.includes(name))
  const facts: [string, string, string][] = [
    ['Last looked at', text('last_viewed') || 'nothing yet', 'last_viewed'],
    ['Shelf', text('shop_filter') || 'all', 'shop_filter'],
    ...others.map((name): [string, string, string] => [name, String(attributes[name]), name]),
    ['Queue', queueOf(conversation) || 'counter', ''],
    ['State', conversation.state, ''],
    ['Conversation', conversation.id.slice(0, 8), ''],
  ]
  if (conversation.previousId !== undefined) facts.push(['Continues', nameOf(conversation.previousId), ''])
  return [
    h('h2', {}, 'Cart'),
    cart(conversation, changed.has('cart_items')),
    h('h2', {}, 'About'),
    h(
      'dl',
      { class: 'about' },
      ...facts.map(([name, value, attribute]) =>
        h(
          'div',
          { class: changed.has(attribute) ? 'changed' : '' },
          h('dt', {}, name),
          h('dd', {}, h('bdi', {}, value)),
        ),
      ),
    ),
  ]
}

function cart(conversation: Conversation, isChanged: boolean): HTMLElement {
  const basket = fromAttributes(conversation.customAttributes as { readonly [name: string]: string | boolean })
  const total = h('p', { class: 'cart-total' })
  setText(total, basket.size === 0 ? 'Empty' : euros(centsOf(basket)))
  const lines = [...basket].map(([id, quantity]) =>
    h(
      'li',
      {},
      h('span', { class: `tile ${productOf(id)?.tile ?? 'sand'}` }, art(id)),
      h('span', {}, productOf(id)?.name ?? id),
      h('b', {}, `× ${quantity}`),
    ),
  )
  return h(
    'div',
    { class: isChanged ? 'cart-box changed' : 'cart-box', 'aria-live': 'polite' },
    h('ul', {}, ...lines),
    total,
  )
}
