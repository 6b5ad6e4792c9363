// Finds text that is hard to read: the contrast of WCAG 2.2 (1.4.3) between each text and what lies behind it.
// Text on a gradient or a picture is not judged; it has no one colour behind it.
import type { Page } from '@playwright/test'

/** Visible texts with a contrast below 4.5, with the figure. */
export function lowContrast(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const canvas = document
      .createElement('canvas')
      .getContext('2d', { willReadFrequently: true }) as CanvasRenderingContext2D
    const rgba = (colour: string): readonly number[] => {
      canvas.clearRect(0, 0, 1, 1)
      canvas.fillStyle = colour
      canvas.fillRect(0, 0, 1, 1)
      return [...canvas.getImageData(0, 0, 1, 1).data]
    }
    const luminance = (colour: readonly number[]): number => {
      const [r = 0, g = 0, b = 0] = colour.map((value) => {
        const part = value / 255
        return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    /** The first ground that is not see-through; undefined for a gradient. */
    const behind = (element: Element | null): readonly number[] | undefined => {
      for (let at = element; at !== null; at = at.parentElement) {
        const style = getComputedStyle(at)
        if (style.backgroundImage !== 'none') return undefined
        const colour = rgba(style.backgroundColor)
        if (colour[3] === 255) return colour
      }
      return [255, 255, 255, 255]
    }
    const found: string[] = []
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement as Element
      const text = (walker.currentNode.nodeValue ?? '').trim()
      if (text === '' || !element.checkVisibility({ visibilityProperty: true }) || element.closest('.visually-hidden'))
        continue
      const ground = behind(element)
      if (ground === undefined) continue
      const [a, b] = [luminance(rgba(getComputedStyle(element).color)), luminance(ground)]
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
      if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: ${text.slice(0, 40)}`)
    }
    return found
  })
}
