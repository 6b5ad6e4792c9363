// oidc-provider as the strict issuer: rotation on every refresh, and any reuse of a spent refresh token ends the grant.
// Nobody signs in: first tokens are made here, as an authorization would have made them.

import { createHash } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import Provider from 'oidc-provider'
import type { Supplied } from '../../core/wire.ts'

export const CLIENT = 'site'
const REDIRECT = 'https://site.example/cb'

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
  /** The code of a sign-in with this verifier. */
  code(verifier: string): Promise<Supplied>
  /** What the access token is bound to, if it is. */
  boundTo(token: string): Promise<string | undefined>
  /** Asked before a request to the token endpoint is taken, and before its answer is given. */
  hold: {
    before?: () => Promise<unknown> | undefined
    after?: (answer: ServerResponse) => Promise<unknown> | undefined
  }
  end(): Promise<void>
}

export async function strictIssuer(
  options: {
    /** How long an access token lives; as a function: asked for each. */
    readonly accessSeconds?: number | (() => number)
    /** Proofs are taken; or wanted, with a nonce. */
    readonly dpop?: boolean | 'nonce'
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
    code: (verifier) => firstCode(provider, verifier),
    boundTo: async (token) => (await provider.AccessToken.find(token))?.jkt,
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

function providerAt(
  issuer: string,
  { accessSeconds = 300, dpop = false }: Parameters<typeof strictIssuer>[0] & object,
) {
  const requireNonce = () => dpop === 'nonce'
  const dPoP = { enabled: dpop !== false, nonceSecret: Buffer.alloc(32, 7), requireNonce }
  return new Provider(issuer, {
    clients: [
      {
        client_id: CLIENT,
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: [REDIRECT],
        response_types: ['code'],
      },
    ],
    scopes: ['openid', 'offline_access'],
    rotateRefreshToken: true,
    issueRefreshToken: async () => true,
    clientBasedCORS: () => true,
    cookies: { keys: ['only-for-tests'] },
    ttl: {
      AccessToken: typeof accessSeconds === 'number' ? accessSeconds : () => accessSeconds(),
      RefreshToken: 86_400,
      Grant: 86_400,
      Session: 86_400,
      IdToken: 300,
    },
    features: { devInteractions: { enabled: false }, revocation: { enabled: true }, dPoP },
    findAccount: async (_, accountId) => ({ accountId, claims: async () => ({ sub: accountId }) }),
  })
}

async function signedIn(provider: Provider) {
  const client = await provider.Client.find(CLIENT)
  if (client === undefined) throw new Error('The issuer does not know its client.')
  const grant = new provider.Grant({ accountId: 'visitor', clientId: CLIENT })
  grant.addOIDCScope('openid offline_access')
  return { client, grantId: await grant.save() }
}

async function firstCode(provider: Provider, verifier: string): Promise<Supplied> {
  const code = new provider.AuthorizationCode({
    accountId: 'visitor',
    ...(await signedIn(provider)),
    redirectUri: REDIRECT,
    scope: 'openid offline_access',
    codeChallenge: createHash('sha256').update(verifier).digest('base64url'),
    codeChallengeMethod: 'S256',
    gty: 'authorization_code',
  } as never)
  return { code: await code.save(), codeVerifier: verifier, redirectUri: REDIRECT }
}

async function firstToken(provider: Provider): Promise<string> {
  const { client, grantId } = await signedIn(provider)
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
