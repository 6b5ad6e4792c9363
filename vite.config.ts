// The test projects of Vitest. The builds are in scripts/build.mjs, because there are five of them.
import { defineConfig } from 'vitest/config'

const PATIENT = { testTimeout: 30_000, hookTimeout: 30_000 }
const unit = ['core', 'contract', 'unit', 'types'].map((folder) => `test/${folder}/**/*.test.ts`)

export default defineConfig({
  test: {
    // A test that needs a second try is a test that lies.
    retry: 0,
    allowOnly: false,
    // Tests wait for states; these bounds only end what hangs, and a machine that builds and tests at once is slow.
    expect: { poll: { timeout: 20_000 } },
    projects: [
      // Above what a busy machine needs to parse everything or to wait for its disk; what hangs still fails.
      { test: { name: 'unit', include: [...unit, 'test/*.test.ts'], environment: 'node', ...PATIENT } },
      { test: { name: 'package', include: ['test/package/**/*.test.ts'], environment: 'node', testTimeout: 60_000 } },
      { test: { name: 'sim', include: ['test/sim/**/*.test.ts'], environment: 'node', testTimeout: 120_000 } },
    ],
  },
})
