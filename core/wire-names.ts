// What locks and channels are called: page and worker must agree on it.

/** The Web Lock an incarnation holds for its whole life: granted to a page means dead. */
export const lifeLockOf = (incarnation: string): string => `holdfast:life:${incarnation}`

/** The Web Lock that a tab of a shared device holds as long as it is there. A tab's name has no colon. */
export const tabLockOf = (tab: string, deployment: string): string => `holdfast:tab:${tab}:${deployment}`

/** The BroadcastChannel of a deployment. */
export const channelOf = (deployment: string): string => `holdfast:${deployment}`
