// Ids that grow with time.
import { expect, test } from 'vitest'
import { timeOrderedId } from '../../server/ids.ts'

test('[SV72] an id is a UUID of version 7 that carries its instant', () => {
  const id = timeOrderedId(1_900_000_000_000)
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(Number.parseInt(id.replace(/-/g, '').slice(0, 12), 16)).toBe(1_900_000_000_000)
})

test('[SV72] later ids are greater, and none is given twice', () => {
  const ids = Array.from({ length: 1000 }, (_, index) => timeOrderedId(1_900_000_000_000 + index))
  expect([...ids].sort()).toEqual(ids)
  expect(new Set(Array.from({ length: 1000 }, () => timeOrderedId(0))).size).toBe(1000)
})
