// What a browser still holds of somebody: every store that a page of the origin can read, and the files of the profile.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from '@playwright/test'

/** Everything that the origin keeps, as text: databases, caches, storages, locks, and what the page shows. */
export function everythingIn(page: Page): Promise<string> {
  return page.evaluate(async () => {
    const found: unknown[] = [{ ...sessionStorage }, { ...localStorage }, document.documentElement.outerHTML]
    for (const { name } of await indexedDB.databases()) {
      const database = await new Promise<IDBDatabase>((resolve, reject) => {
        const request = indexedDB.open(name ?? '')
        request.onsuccess = () => resolve(request.result)
        request.onerror = () => reject(request.error)
      })
      for (const store of database.objectStoreNames) {
        const records = await new Promise<unknown[]>((resolve) => {
          const request = database.transaction(store).objectStore(store).getAll()
          request.onsuccess = () => resolve(request.result)
        })
        found.push({ name, store, records })
      }
      database.close()
    }
    for (const name of await caches.keys()) {
      const cache = await caches.open(name)
      for (const request of await cache.keys()) found.push(request.url, await (await cache.match(request))?.text())
    }
    const { held, pending } = await navigator.locks.query()
    found.push(held, pending)
    // The demo's pages keep their chat to themselves, and have an element of that name.
    const { chat } = globalThis
    if ('subscribe' in chat) found.push(chat.state, chat.draft.text, chat.context.get())
    return JSON.stringify(found)
  })
}

/** Where in the files of a folder one of the words is, as UTF-8 or as UTF-16. */
export function filesWith(folder: string, words: readonly string[]): string[] {
  const needles = words.flatMap((word) =>
    (['utf8', 'utf16le'] as const).map((form) => [word, Buffer.from(word, form)] as const),
  )
  const found: string[] = []
  const look = (path: string): void => {
    for (const name of readdirSync(path)) {
      const file = join(path, name)
      // The browser removes files while we look.
      const stats = statSync(file, { throwIfNoEntry: false })
      if (stats?.isDirectory()) look(file)
      if (!stats?.isFile()) continue
      const content = readFileSync(file)
      for (const [word, needle] of needles)
        if (content.includes(needle)) found.push(`${file.slice(folder.length)}: ${word}`)
    }
  }
  look(folder)
  return found
}
