/** Modules for browsers, everything inside. */
export function bundleBrowser(options: { entries: Record<string, string>; outDir: string }): Promise<unknown>
