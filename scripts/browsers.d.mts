// The types of browsers.mjs, for playwright.config.ts, the bench and the chaos run.
export type BrowserName = 'chromium' | 'firefox' | 'webkit'
export function findBrowser(name: BrowserName): Promise<{ source: 'own' | 'system'; path: string } | undefined>
