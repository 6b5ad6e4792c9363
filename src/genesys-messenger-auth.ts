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

/** Calls that come together share one code: it can be used once. */
export function provide(plugin: Registrable, authCode: () => Promise<AuthCode>): void {
  let asked: Promise<AuthCode> | undefined
  for (const name of ['getAuthCode', 'reAuthenticate']) {
    plugin.registerCommand(name, (event) => {
      asked ??= authCode().finally(() => {
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
