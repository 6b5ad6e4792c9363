// The site's sign-in for Genesys Messenger: the AuthProvider plugin that the widget asks for codes.

export interface Registrable {
  registerCommand(
    name: string,
    run: (event: { resolve(value?: unknown): void; reject(error: unknown): void }) => void,
  ): void
  subscribe?(name: string, hear: () => void): void
  ready(): void
}

/** What the site's identity provider gave, for Messenger to exchange. */
export interface AuthCode {
  readonly authCode?: string
  readonly idToken?: string
  readonly redirectUri?: string
  readonly codeVerifier?: string
  readonly nonce?: string
}

/** Whoever signs in by hand has so long; after that the next call asks anew. */
const SIGN_IN_TIMEOUT_MS = 120_000

function inTime<T>(work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Error(`The sign-in gave nothing within ${SIGN_IN_TIMEOUT_MS} ms.`))
    const timer = setTimeout(late, SIGN_IN_TIMEOUT_MS)
    work.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}

/** Calls that come together share one code: it can be used once. */
export function provide(plugin: Registrable, authCode: (isAgain: boolean) => Promise<AuthCode>): void {
  let asked: Promise<AuthCode> | undefined
  for (const name of ['getAuthCode', 'reAuthenticate']) {
    plugin.registerCommand(name, (event) => {
      asked ??= inTime(authCode(name === 'reAuthenticate')).finally(() => {
        asked = undefined
      })
      asked.then(
        (code) => event.resolve(code),
        (error) => event.reject(error),
      )
    })
  }
  plugin.ready()
}
