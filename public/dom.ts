// The few lines that make elements, instead of a framework. Text is always set as text, never as markup.
// What the elements mean belongs to the views.

type Child = Node | string | null | undefined | false
type Listener = (event: Event) => void
export type Props = { readonly [name: string]: string | number | boolean | Listener | undefined }

/** Makes an element. A function is a listener (`onclick`), `true` an empty attribute, `false` and `undefined` none. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value)
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.filter((child): child is Node | string => Boolean(child) || child === ''))
  return element
}

const SVG = 'http://www.w3.org/2000/svg'

/** A picture of the shop's own sprite; it says nothing that the text beside it does not say. */
export function art(name: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', '0 0 200 200')
  svg.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS(SVG, 'use')
  use.setAttribute('href', `/art.svg#${name}`)
  svg.append(use)
  return svg
}

/** A small line icon from its path. */
export function icon(path: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, 'svg')
  svg.setAttribute('viewBox', '0 0 24 24')
  svg.setAttribute('class', 'icon')
  svg.setAttribute('aria-hidden', 'true')
  const shape = document.createElementNS(SVG, 'path')
  shape.setAttribute('d', path)
  svg.append(shape)
  return svg
}

export const ICONS = {
  close: 'M6 6l12 12M18 6 6 18',
  leave: 'M13 4H6v16h7M10 12h10M16.500 8.500 20 12l-3.500 3.500',
  send: 'M5 12h13M12 5l7 7-7 7',
  waiting: 'M12 7v5l3 2M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17z',
  sending: 'M12 19V5M6 11l6-6 6 6',
  sent: 'M5 12.500l4.5 4.500L19 7.5',
  seen: 'M2.5 12.5 7 17l8-9M11 16l1 1 9.5-9.5',
  failed: 'M12 7v6M12 16.500v.100M12 3.500a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17z',
  held: 'M8 8v8M16 8v8M12 2.500a9.5 9.5 0 1 1 0 19 9.5 9.5 0 0 1 0-19z',
  clip: 'M8 12.500l6-6a3 3 0 0 1 4.200 4.200l-8 8a5 5 0 0 1-7-7l7.500-7.500',
  bolt: 'M13 3 5 13.500h6L10 21l8.5-11.500h-6z',
} as const

/** The element with this id; the pages are ours, so a missing one is a mistake in them. */
export function byId<T extends HTMLElement>(id: string): T {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`The page has no element #${id}.`)
  return element as T
}

/** A field grows with its text up to this height, in pixels. */
const FIELD_HEIGHT_MAX_PX = 140

/** While it is not shown a field has no height; then it is to be measured again when it is. */
export function fitField(field: HTMLTextAreaElement): void {
  field.style.height = 'auto'
  if (field.scrollHeight > 0) field.style.height = `${Math.min(field.scrollHeight, FIELD_HEIGHT_MAX_PX)}px`
}

/** Enter sends, Shift+Enter breaks the line; while a word is being composed (as in Japanese), Enter chooses it. */
export const isSendKey = ({ key, shiftKey, isComposing, keyCode }: KeyboardEvent): boolean =>
  // Safari ends the composing before it tells of the key, and says so by this number only.
  key === 'Enter' && !shiftKey && !isComposing && keyCode !== 229

/**
 * What vanishes takes the focus with it, and the keyboard would begin at the top of the page again: the first of `next`
 * that can take the focus gets it. The returned function looks at once, for what is hidden from outside the region.
 */
export function keepFocus(region: HTMLElement, next: () => readonly (HTMLElement | null)[]): () => void {
  let last: HTMLElement | undefined
  const look = (): void => {
    if (last === undefined || isUsable(last)) return
    last = undefined
    const isLost = document.activeElement === null || !isUsable(document.activeElement)
    if (isLost || document.activeElement === document.body)
      next()
        .find((one) => one !== null && isUsable(one))
        ?.focus()
  }
  region.addEventListener('focusin', ({ target }) => {
    last = target as HTMLElement
  })
  region.addEventListener('focusout', ({ target }) => {
    // Told before the element is gone, where it goes. Whoever left of their own accord has gone somewhere else.
    queueMicrotask(() => {
      if (last === target && isUsable(last as HTMLElement)) last = undefined
    })
  })
  const attributeFilter = ['hidden', 'disabled']
  new MutationObserver(look).observe(region, { childList: true, subtree: true, attributes: true, attributeFilter })
  return look
}

const isUsable = (element: Element): boolean => element.checkVisibility() && !element.matches(':disabled')

/** From now on, what is added to a live region is read out; what it was filled with is for whoever goes there. */
export function readOutFromNow(region: Element): void {
  // Two frames: by then the browser has told the reader of what is there, as no news.
  requestAnimationFrame(() => requestAnimationFrame(() => region.setAttribute('aria-live', 'polite')))
}

/** Sets text only when it differs, so that a screen reader is not told the same thing twice. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/**
 * Brings a list's children in line with items, keeping the elements of those that stay.
 * Kept elements keep their focus, and a live region announces only what is new.
 */
export function reconcile<T>(
  parent: Element,
  items: readonly T[],
  keyOf: (item: T) => string,
  make: (item: T) => HTMLElement,
  update: (element: HTMLElement, item: T) => void,
): void {
  const present = new Map<string, HTMLElement>()
  for (const child of parent.children) {
    if (child instanceof HTMLElement && child.dataset['key'] !== undefined) present.set(child.dataset['key'], child)
  }
  let next: Element | null = parent.firstElementChild
  for (const item of items) {
    const key = keyOf(item)
    const known = present.get(key)
    const element = known ?? make(item)
    element.dataset['key'] = key
    present.delete(key)
    update(element, item)
    if (element === next) next = next.nextElementSibling
    else parent.insertBefore(element, next)
  }
  for (const gone of present.values()) gone.remove()
}
