// What the shop has: the fixed list that the shelf shows and that the agent console looks names up in.
// Prices are in cents, because money is counted and never rounded.

export type Category = 'wear' | 'light' | 'galley' | 'deck'

export interface Product {
  readonly id: string
  readonly name: string
  readonly category: Category
  readonly cents: number
  readonly tile: 'sand' | 'sea' | 'sky' | 'coral'
  readonly line: string
  readonly story: string
}

export const CATEGORIES: readonly { readonly id: Category | 'all'; readonly name: string }[] = [
  { id: 'all', name: 'Everything' },
  { id: 'wear', name: 'To wear' },
  { id: 'light', name: 'Light & brass' },
  { id: 'galley', name: 'Galley' },
  { id: 'deck', name: 'On deck' },
]

export const PRODUCTS: readonly Product[] = [
  {
    id: 'lantern',
    name: 'Storm lantern',
    category: 'light',
    cents: 6400,
    tile: 'sky',
    line: 'Burns eleven hours, in any wind.',
    story: 'A wick, a glass and a lid that fits. It has been tried on the end of the pier in November.',
  },
  {
    id: 'oilskin',
    name: 'Harbour oilskin',
    category: 'wear',
    cents: 18900,
    tile: 'sea',
    line: 'Waxed cotton, seen from far away.',
    story: 'Cut long, closed high, with pockets that a wet hand can still open. Rain runs off it and goes elsewhere.',
  },
  {
    id: 'compass',
    name: 'Pocket compass',
    category: 'light',
    cents: 4800,
    tile: 'coral',
    line: 'Knows where north is, offline.',
    story: 'Needs no signal, no battery and no account. The needle is damped, so it does not dither.',
  },
  {
    id: 'mug',
    name: 'Enamel mug',
    category: 'galley',
    cents: 1400,
    tile: 'sand',
    line: 'May be dropped. Has been.',
    story: 'Half a litre of steel under two coats of enamel. The chips it gets are yours and nobody else has them.',
  },
  {
    id: 'jumper',
    name: 'Gansey jumper',
    category: 'wear',
    cents: 14200,
    tile: 'sand',
    line: 'Knitted so tight that spray gives up.',
    story: 'Five-ply wool, worked in the round. The pattern across the chest is the one of this harbour.',
  },
  {
    id: 'rope',
    name: 'Mooring rope, 30 m',
    category: 'deck',
    cents: 5600,
    tile: 'sea',
    line: 'Three strands, one opinion.',
    story: 'Laid hemp with a whipped end. Holds a boat through a night that you would rather not be out in.',
  },
  {
    id: 'barometer',
    name: 'Wall barometer',
    category: 'light',
    cents: 22500,
    tile: 'sky',
    line: 'Says it before the sky does.',
    story: 'Walnut and brass. Tap the glass in the morning; if the needle falls, take the lantern as well.',
  },
  {
    id: 'beanie',
    name: 'Watch cap',
    category: 'wear',
    cents: 2900,
    tile: 'sea',
    line: 'Stays where you put it.',
    story: 'Ribbed lambswool, long enough to turn up once or, in February, not at all.',
  },
  {
    id: 'tea',
    name: 'Gale-force tea',
    category: 'galley',
    cents: 950,
    tile: 'coral',
    line: 'Black, smoky, and brief.',
    story: 'Four minutes, no more. Comes in a tin with a lid that has to be meant.',
  },
  {
    id: 'boots',
    name: 'Quay boots',
    category: 'wear',
    cents: 8700,
    tile: 'sand',
    line: 'Dry to the knee, for years.',
    story: 'Natural rubber over cotton, with a sole that grips wet granite. Leave them by the door.',
  },
  {
    id: 'bell',
    name: "Ship's bell",
    category: 'deck',
    cents: 7900,
    tile: 'sea',
    line: 'The first push notification.',
    story: 'Cast brass, a clear fifth above the kettle. One pull is heard on both sides of the harbour.',
  },
  {
    id: 'blanket',
    name: 'Cabin blanket',
    category: 'galley',
    cents: 11800,
    tile: 'sky',
    line: 'For the hour after the watch.',
    story: 'Heavy wool with a fringe. Smells faintly of sheep when damp, which is how you know it is real.',
  },
]

const BY_ID = new Map(PRODUCTS.map((product) => [product.id, product]))

export const productOf = (id: string): Product | undefined => BY_ID.get(id)

const EUROS = new Intl.NumberFormat('en-IE', { style: 'currency', currency: 'EUR' })

export const euros = (cents: number): string => EUROS.format(cents / 100)

/** The products of a category whose name or line holds every word of the search. */
export function findProducts(category: Category | 'all', search: string): readonly Product[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean)
  return PRODUCTS.filter((product) => {
    const text = `${product.name} ${product.line}`.toLowerCase()
    return (category === 'all' || product.category === category) && words.every((word) => text.includes(word))
  })
}
