// auth0-spa-js with rotating refresh tokens in localStorage, which is what it shares between tabs.

import { Auth0Client } from '@auth0/auth0-spa-js'

let client: Auth0Client | undefined

export async function setUp(issuer: string, clientId: string, refreshToken: string): Promise<void> {
  if (refreshToken !== '') {
    const scope = 'openid offline_access'
    const body = { access_token: 'stale', refresh_token: refreshToken, scope, expires_in: 1, client_id: clientId }
    const entry = JSON.stringify({ body: { ...body, audience: 'default' }, expiresAt: 1 })
    localStorage.setItem(`@@auth0spajs@@::${clientId}::default::${scope}`, entry)
  }
  client = new Auth0Client({
    domain: issuer.replace(/\/$/, ''),
    clientId,
    useRefreshTokens: true,
    cacheLocation: 'localstorage',
    authorizationParams: { scope: 'openid offline_access' },
  })
}

export const token = async (): Promise<string> => (await client?.getTokenSilently()) ?? ''
