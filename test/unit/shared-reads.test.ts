// One read for all who wait for the same news.
import { expect, test } from 'vitest'
import { SharedReads } from '../../server/shared-reads.ts'

test('[SV71] who asks for the same while it is read shares the read, and who comes later reads anew', async () => {
  const reads = new SharedReads()
  let count = 0
  const read = async () => ++count
  expect(await Promise.all([reads.read('a', read), reads.read('a', read), reads.read('b', read)])).toEqual([1, 1, 2])
  expect(await reads.read('a', read)).toBe(3)
})

test('[SV71] a read that failed is not kept', async () => {
  const reads = new SharedReads()
  await expect(reads.read('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(await reads.read('a', async () => 1)).toBe(1)
})
