// oidc-provider as the strict issuer: rotation on every refresh, and any reuse of a spent refresh token ends the grant.
// Nobody signs in: first tokens are made here, as an authorization would have made them.

import type { AddressInfo } from 'node:net'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import Provider from 'oidc-provider'

export const CLIENT = 'site'

export interface StrictIssuer {
  readonly issuer: string
  readonly tokenEndpoint: string
  /** Each request to the token endpoint: the refresh token's end, and what came of it. */
  readonly posts: { readonly status: number }[]
  /** Grants that were ended because of a reuse. */
  revoked(): number
  /** Does this access token live, and its grant? */
  accepts(token: string): Promise<boolean>
  /** A refresh token as a sign-in would have given it. */
  signIn(): Promise<string>
  /** Asked before a request to the token endpoint is taken, and before its answer is given. */
  hold: {
    before?: () => Promise<unknown> | undefined
    after?: (answer: ServerResponse) => Promise<unknown> | undefined
  }
  end(): Promise<void>
}

export async function strictIssuer(
  options: {
    readonly accessSeconds?: number
    readonly dpop?: boolean
    readonly port?: number
    readonly path?: string
  } = {},
): Promise<StrictIssuer> {
  const hold: StrictIssuer['hold'] = {}
  const posts: { status: number }[] = []
  let handler: (request: IncomingMessage, response: ServerResponse) => void = () => {}
  const server = createServer((request, response) => handler(request, response))
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}${options.path ?? ''}`
  const provider = providerAt(issuer, options)
  let ended = 0
  provider.on('grant.revoked', () => {
    ended += 1
  })
  const callback = provider.callback()
  handler = (request, response) => void serve(request, response, callback, posts, hold)
  return {
    issuer,
    tokenEndpoint: new URL('/token', issuer).href,
    posts,
    hold,
    revoked: () => ended,
    signIn: () => firstToken(provider),
    accepts: async (token) => {
      const found = await provider.AccessToken.find(token)
      return found !== undefined && !found.isExpired
    },
    end: () => closed(server),
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  callback: (request: IncomingMessage, response: ServerResponse) => unknown,
  posts: { status: number }[],
  hold: StrictIssuer['hold'],
): Promise<void> {
  // As auth0-spa-js calls it.
  if (request.url === '/oauth/token') request.url = '/token'
  if (request.method !== 'POST' || !request.url?.startsWith('/token')) return void callback(request, response)
  await hold.before?.()
  const end = response.end.bind(response) as (...rest: unknown[]) => ServerResponse
  // Committed, and not yet told: here an answer can be lost.
  response.end = ((...rest: unknown[]) => {
    posts.push({ status: response.statusCode })
    void Promise.resolve(hold.after?.(response)).then(() => response.destroyed || end(...rest))
    return response
  }) as typeof response.end
  callback(request, response)
}

function providerAt(issuer: string, { accessSeconds = 300, dpop = false }: { accessSeconds?: number; dpop?: boolean }) {
  return new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT,
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: ['https://site.example/cb'],
        response_types: ['code'],
      },
    ],
    scopes: ['openid', 'offline_access'],
    rotateRefreshToken: true,
    issueRefreshToken: async () => true,
    clientBasedCORS: () => true,
    cookies: { keys: ['only-for-tests'] },
    ttl: { AccessToken: accessSeconds, RefreshToken: 86_400, Grant: 86_400, Session: 86_400, IdToken: 300 },
    features: { devInteractions: { enabled: false }, revocation: { enabled: true }, dPoP: { enabled: dpop } },
    findAccount: async (_, accountId) => ({ accountId, claims: async () => ({ sub: accountId }) }),
  })
}

async function firstToken(provider: Provider): Promise<string> {
  const client = await provider.Client.find(CLIENT)
  if (client === undefined) throw new Error('The issuer does not know its client.')
  const grant = new provider.Grant({ accountId: 'visitor', clientId: CLIENT })
  grant.addOIDCScope('openid offline_access')
  const grantId = await grant.save()
  const token = new provider.RefreshToken({
    accountId: 'visitor',
    client,
    grantId,
    gty: 'authorization_code',
    scope: 'openid offline_access',
    sessionUid: 's',
    rotations: 0,
    iiat: Math.floor(Date.now() / 1_000),
  } as never)
  return token.save()
}

const closed = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.closeAllConnections()
    server.close(() => resolve())
  })
