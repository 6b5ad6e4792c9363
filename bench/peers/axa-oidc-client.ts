// @axa-fr/oidc-client: without its worker in localStorage, which is what several tabs can share; with its worker after the
// exchange of a code, since its worker takes tokens from no other hand. Both renew when a call needs it.

import { OidcClient, TokenAutomaticRenewMode } from '@axa-fr/oidc-client'
import type { Supplied } from '../../core/wire.ts'

let client: OidcClient | undefined

export async function setUp(
  issuer: string,
  clientId: string,
  refreshToken: string,
  signIn: Supplied | null,
): Promise<void> {
  const { code, codeVerifier, redirectUri } = signIn ?? {}
  const scope = 'openid offline_access'
  const login = JSON.stringify({ callbackPath: '/', extras: null, scope })
  if (refreshToken !== '' || code !== undefined) localStorage.setItem('oidc.login.default', login)
  if (refreshToken !== '') {
    const tokens = { accessToken: 'stale', refreshToken, scope, expiresIn: 1, issuedAt: 1, expiresAt: 1 }
    localStorage.setItem('oidc.default', JSON.stringify({ tokens, status: 'LOGGED_IN' }))
    localStorage.setItem('oidc.nonce.default', 'nonce')
  }
  client = OidcClient.getOrCreate(() => fetch)({
    authority: issuer,
    client_id: clientId,
    redirect_uri: String(redirectUri ?? `${location.origin}/cb`),
    scope,
    storage: localStorage,
    token_automatic_renew_mode: TokenAutomaticRenewMode.AutomaticOnlyWhenFetchExecuted,
    ...(signIn && { service_worker_relative_url: '/OidcServiceWorker.js' }),
  })
  if (code === undefined || codeVerifier === undefined) return void (await client.tryKeepExistingSessionAsync())
  sessionStorage.setItem('oidc.state.default', 'state')
  sessionStorage.setItem('oidc.nonce.default', 'nonce')
  sessionStorage.setItem('oidc.code_verifier.default', String(codeVerifier))
  history.replaceState(null, '', `/?code=${code}&state=state`)
  await client.loginCallbackAsync()
}

export const token = async (): Promise<string> => (await client?.getValidTokenAsync())?.tokens?.accessToken ?? ''

export const isOut = (): boolean => (client?.tokens?.expiresAt ?? 0) * 1_000 < Date.now()
