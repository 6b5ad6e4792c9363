// The cart as attributes of the chat's context, there and back. Pure: the views and the agent console both use it.
// An attribute written by something else is read as far as it makes sense, never trusted.

import { productOf } from './products.ts'

/** How many of each product, in the order in which they were first taken. */
export type Basket = ReadonlyMap<string, number>
type Attributes = { readonly [name: string]: string | boolean }

/** What the shop writes: `null` removes an attribute. */
export interface BasketAttributes {
  readonly cart_items: string | null
  readonly cart_value: string | null
}

export const QUANTITY_MAX = 99

export function changeQuantity(basket: Basket, id: string, by: number): Basket {
  const next = new Map(basket)
  const quantity = Math.min(QUANTITY_MAX, (next.get(id) ?? 0) + by)
  if (quantity > 0) next.set(id, quantity)
  else next.delete(id)
  return next
}

export function countOf(basket: Basket): number {
  return [...basket.values()].reduce((sum, quantity) => sum + quantity, 0)
}

export function centsOf(basket: Basket): number {
  return [...basket].reduce((sum, [id, quantity]) => sum + quantity * (productOf(id)?.cents ?? 0), 0)
}

/** `lantern:1,mug:2` and `92.00`; an empty basket leaves no attribute behind. */
export function toAttributes(basket: Basket): BasketAttributes {
  if (basket.size === 0) return { cart_items: null, cart_value: null }
  const items = [...basket].map(([id, quantity]) => `${id}:${quantity}`).join(',')
  return { cart_items: items, cart_value: (centsOf(basket) / 100).toFixed(2) }
}

export function fromAttributes(attributes: Attributes): Basket {
  const basket = new Map<string, number>()
  const items = attributes['cart_items']
  if (typeof items !== 'string') return basket
  for (const item of items.split(',')) {
    const [id = '', count = ''] = item.split(':')
    const quantity = Number(count)
    if (productOf(id) !== undefined && Number.isInteger(quantity) && quantity > 0 && quantity <= QUANTITY_MAX)
      basket.set(id, quantity)
  }
  return basket
}
