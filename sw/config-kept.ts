// The configuration as it was kept on the disk by an earlier start.

export const CONFIG_CACHE = 'holdfast-config'

/** Storage may be blocked, so that its very name throws: then every start reads it from the network. */
export const keptAt = async (url: string): Promise<Response | undefined> => {
  try {
    return await caches.match(url, { cacheName: CONFIG_CACHE })
  } catch {
    return undefined
  }
}

/** Keeps it for the next start, where that can be. */
export const keep = async (url: string, answer: Response): Promise<void> => {
  try {
    await (await caches.open(CONFIG_CACHE)).put(url, answer)
  } catch {
    // It is fetched again then.
  }
}
