// The types of the page, held by the compiler in `npm run check`; here only that those files are compiled at all, and that
// what they say of the README is so.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

test('[PG20] code that must not compile, and the examples, are compiled with everything else', () => {
  const root = read('tsconfig.json')
  expect(root).toContain('"path": "test"')
  expect(root).toContain('"path": "docs/examples"')
  expect(read('test/tsconfig.json')).toContain('"include": ["**/*.ts"]')
  expect(read('docs/examples/tsconfig.json')).toContain('"include": ["**/*.ts"]')
  expect(read('test/types/client.ts').match(/@ts-expect-error/g)?.length).toBeGreaterThan(10)
})

test('[BD20] each block of code in docs/tokens.md is one of the compiled examples, whole', () => {
  const blocks = [...read('docs/tokens.md').matchAll(/```ts file=(\S+)\n(.*?)```/gs)]
  expect(blocks.map(([, file]) => file)).toEqual(['tokens-worker.ts', 'tokens-page.ts'])
  for (const [, file, code] of blocks) expect(code).toBe(read(`docs/examples/${file}`))
})
