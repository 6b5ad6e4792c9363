// oidc-client-ts as its documentation has it for several tabs: the user in localStorage, renewed by refresh token.

import { User, UserManager, WebStorageStateStore } from 'oidc-client-ts'

let manager: UserManager | undefined

export async function setUp(issuer: string, clientId: string, refreshToken: string): Promise<void> {
  manager = new UserManager({
    authority: issuer,
    client_id: clientId,
    redirect_uri: `${location.origin}/cb`,
    userStore: new WebStorageStateStore({ store: localStorage }),
    automaticSilentRenew: false,
    scope: 'openid offline_access',
  })
  if (refreshToken === '') return
  const profile = { sub: 'visitor', iss: issuer, aud: clientId, exp: 0, iat: 0 }
  const expired = { access_token: 'stale', token_type: 'Bearer', expires_at: 1, scope: 'openid offline_access' }
  await manager.storeUser(new User({ ...expired, refresh_token: refreshToken, profile }))
}

export async function token(): Promise<string> {
  const user = await manager?.getUser()
  if (user && !user.expired) return user.access_token
  const renewed = await manager?.signinSilent()
  return renewed?.access_token ?? ''
}
