// The configuration as it was kept on the disk by an earlier start.

export const CONFIG_CACHE = 'holdfast-config'

/** Storage may be blocked: then every start reads it from the network. */
export const keptAt = async (url: string): Promise<Response | undefined> =>
  globalThis.caches?.match(url, { cacheName: CONFIG_CACHE }).catch(() => undefined)
