// The shelf: cards, the filter, and the closer look at one product.
// Says what was looked at and what was taken; who keeps that is not known here.

import { art, byId, h, ICONS, icon, reconcile, setText } from '../dom.ts'
import { CATEGORIES, type Category, euros, findProducts, type Product } from './products.ts'

export interface CatalogueEvents {
  onAdd(product: Product): void
  onView(product: Product): void
  onFilter(category: Category | 'all'): void
}

export function makeCatalogue(events: CatalogueEvents): { showFilter(category: unknown): void } {
  const grid = byId('grid')
  const count = byId('shelf-count')
  const search = byId<HTMLInputElement>('search')
  const chips = new Map<string, HTMLButtonElement>()
  const look = makeCloserLook(events.onAdd)
  let category: Category | 'all' = 'all'

  for (const { id, name } of CATEGORIES) {
    const chip = h('button', { class: 'chip', type: 'button', 'aria-pressed': 'false' }, name)
    chip.addEventListener('click', () => {
      choose(id)
      events.onFilter(id)
    })
    chips.set(id, chip)
    byId('categories').append(chip)
  }
  search.addEventListener('input', render)

  function choose(id: Category | 'all'): void {
    category = id
    render()
  }

  function render(): void {
    for (const [id, chip] of chips) chip.setAttribute('aria-pressed', String(id === category))
    const found = findProducts(category, search.value)
    setText(count, found.length === 1 ? 'one thing' : `${found.length} things`)
    const open = (product: Product): void => {
      look(product)
      events.onView(product)
    }
    grid.querySelector('.empty')?.remove()
    reconcile(
      grid,
      found,
      ({ id }) => id,
      (product) => makeCard(product, open, events.onAdd),
      () => {},
    )
    if (found.length === 0) grid.append(h('li', { class: 'empty' }, 'The tide took that. Try another word.'))
  }

  render()
  return {
    showFilter(wanted) {
      const known = CATEGORIES.find(({ id }) => id === wanted)
      if (known !== undefined && known.id !== category) choose(known.id)
    },
  }
}

function makeCard(product: Product, open: (product: Product) => void, add: (product: Product) => void): HTMLElement {
  return h(
    'li',
    { class: 'card' },
    h('div', { class: `tile ${product.tile}` }, art(product.id)),
    h(
      'div',
      { class: 'card-text' },
      h('h3', {}, h('button', { class: 'card-name', type: 'button', onclick: () => open(product) }, product.name)),
      h('p', { class: 'card-line' }, product.line),
      h(
        'div',
        { class: 'card-foot' },
        h('span', { class: 'price' }, euros(product.cents)),
        h(
          'button',
          {
            class: 'button small',
            type: 'button',
            'aria-label': `Add ${product.name} to the cart`,
            onclick: () => add(product),
          },
          'Add',
        ),
      ),
    ),
  )
}

function makeCloserLook(add: (product: Product) => void): (product: Product) => void {
  const dialog = byId<HTMLDialogElement>('product')
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close())
  return (product) => {
    const close = h('button', { class: 'close', type: 'button', 'aria-label': 'Close' }, icon(ICONS.close))
    close.addEventListener('click', () => dialog.close())
    const take = h('button', { class: 'button', type: 'button' }, 'Add to cart')
    take.addEventListener('click', () => {
      add(product)
      dialog.close()
    })
    dialog.replaceChildren(
      close,
      h('div', { class: `tile ${product.tile}` }, art(product.id)),
      h(
        'div',
        { class: 'sheet-body' },
        h('h2', { id: 'product-title' }, product.name),
        h('p', {}, product.story),
        h('p', { class: 'note' }, product.line),
        h('div', { class: 'product-foot' }, h('span', { class: 'price' }, euros(product.cents)), take),
      ),
    )
    dialog.showModal()
  }
}
