// The hidden frame in the page. What is posted reaches the exact origin of the hub, or nobody; nothing is heard from the
// window, only from the port that goes along.

/** The frame as the page client uses it. */
export interface Frame {
  /** Puts it into the page. `loaded` is called each time a document has been loaded into it. */
  open(loaded: () => void): void
  /** The site may have taken it out of the page. */
  isOpen(): boolean
  post(message: unknown, port: MessagePort): void
  close(): void
}

export function frameOf(hub: URL): Frame {
  let frame: HTMLIFrameElement | undefined
  const close = (): void => {
    frame?.remove()
    frame = undefined
  }
  return {
    open(loaded) {
      close()
      frame = document.createElement('iframe')
      frame.hidden = true
      frame.title = 'holdfast'
      frame.src = hub.href
      frame.setAttribute('aria-hidden', 'true')
      frame.addEventListener('load', loaded)
      // Not in the body, which the site may not have yet, or may empty.
      document.documentElement.append(frame)
    },
    isOpen: () => frame?.isConnected === true,
    post: (message, port) => frame?.contentWindow?.postMessage(message, hub.origin, [port]),
    close,
  }
}
