// Who may import what: the arrows between the folders and the one door of each package.
// A new package gets a line here and three lines in CONTRIBUTING.md.

/** The first that matches a file decides. Tests, the bench and e2e may import anything. */
export const ARROWS: readonly { readonly from: RegExp; readonly to: RegExp }[] = [
  { from: /^core\/(wire|errors)/, to: /^core\/(wire|errors)/ },
  { from: /^core\//, to: /^core\// },
  { from: /^sw\/(engine|stream)/, to: /^(core\/|sw\/(engine|stream))/ },
  { from: /^sw\/platforms\//, to: /^(core\/|sw\/platforms\/)/ },
  { from: /^sw\//, to: /^(core|sw)\// },
  { from: /^src\/local-host/, to: /^(core|sw|src)\// },
  { from: /^src\//, to: /^(core|src)\// },
  { from: /^server\/session/, to: /^(core\/(wire|errors)|server\/session)/ },
  { from: /^server\//, to: /^(core\/(wire|errors)|server\/)/ },
  { from: /^testing\//, to: /^(core\/|sw\/(engine|stream|platforms\/)|server\/session|testing\/|scripts\/browsers)/ },
  { from: /^public\/serve/, to: /^(core\/(wire|errors)|server\/|testing\/|public\/serve)/ },
  { from: /^public\//, to: /^(core|src|public)\// },
]

const TESTS = /^(test|e2e|bench)\//

/** Where each package may be imported. Node's own modules are free, but those named here. */
export const DOORS: ReadonlyMap<string, readonly RegExp[]> = new Map([
  ['idb', [/^sw\/store[^/]*\.ts$/, TESTS]],
  ['hono', [/^server\/(http|openapi|problem|parts|cookie|routes\/[^/]+)\.ts$/]],
  ['@hono/node-server', [/^server\/service\.ts$/]],
  ['hono-openapi', [/^server\/(http|openapi|routes\/[^/]+)\.ts$/]],
  ['@valibot/to-json-schema', [/^server\/(openapi|schemas)\.ts$/]],
  ['valibot', [/^server\/(schemas[^/]*|socket|routes\/[^/]+)\.ts$/]],
  ['jose', [/^server\/(keys|tokens|identity)\.ts$/, TESTS]],
  ['ws', [/^server\/(stream|socket|check\/(streams|genesys))\.ts$/, /^testing\//, TESTS]],
  ['node:sqlite', [/^server\/drivers\/sqlite[^/]*\.ts$/]],
  ['libsql', [/^server\/drivers\/sqlite[^/]*\.ts$/]],
  ['pg', [/^server\/(drivers|fanout)\/postgres\.ts$/, TESTS]],
  ['ioredis', [/^server\/fanout\/redis\.ts$/, TESTS]],
  ['@electric-sql/pglite', [TESTS]],
  ['holdfast', [/^public\//, TESTS]],
  ['@playwright/test', [/^testing\//, TESTS]],
  ['vitest', [TESTS]],
  ['vite', [TESTS]],
  ['fast-check', [TESTS]],
  ['workbox-background-sync', [TESTS]],
  ['@tanstack/offline-transactions', [TESTS]],
  ['oidc-provider', [TESTS]],
  ['oidc-client-ts', [TESTS]],
  ['@auth0/auth0-spa-js', [TESTS]],
  ['@axa-fr/oidc-client', [TESTS]],
  ['fake-indexeddb', [TESTS]],
])
