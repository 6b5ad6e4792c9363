// The session cookie: the refresh token of the family, out of reach of every script. A service with several deployments
// has one for each: a visitor of two shops would otherwise lose the one conversation by opening the other.
import { setCookie } from 'hono/cookie'
import { mayUseDeployment } from './origins.ts'
import type { Call, Parts } from './parts.ts'
import type { Settings } from './settings.ts'

/**
 * The cookie of a deployment. Where none is named, that of the only one which has a cookie here and takes the page;
 * null where several do.
 */
export function sessionCookie(parts: Parts, c: Call, named?: string): string | undefined | null {
  const { settings } = parts
  const ids = [...settings.deployments.keys()].filter(
    (id) =>
      (named === undefined || id === named) &&
      mayUseDeployment(settings, id, c.req.header('Origin'), c.req.header('Host')),
  )
  const own = ids.flatMap((id) => genuine(parts, c, nameOf(settings, id)) ?? [])
  if (own.length > 1) return null
  // From the time when there was no other deployment. Whose it is, the store knows.
  return own[0] ?? (ids.length > 0 ? genuine(parts, c, settings.cookie.name) : undefined)
}

/** No browser keeps a cookie for longer than 400 days, and Hono refuses to ask for it. */
const COOKIE_SECONDS_MAX = 400 * 24 * 60 * 60

export function keepSessionCookie(parts: Parts, c: Call, deploymentId: string, refreshToken: string): void {
  const { sessionMs, archiveReferenceMs } = parts.settings
  // It outlives the session, so that a late visitor still finds the archive of what was said.
  const maxAge = Math.min(Math.floor((sessionMs + archiveReferenceMs) / 1000), COOKIE_SECONDS_MAX)
  write(parts, c, { name: nameOf(parts.settings, deploymentId), value: refreshToken, maxAge })
}

/** Drops every cookie that holds this token. */
export function dropSessionCookie(parts: Parts, c: Call, refreshToken: string): void {
  const names = [
    parts.settings.cookie.name,
    ...[...parts.settings.deployments.keys()].map((id) => nameOf(parts.settings, id)),
  ]
  for (const name of new Set(names)) {
    if (valuesOf(c, name).includes(refreshToken)) write(parts, c, { name, value: '', maxAge: 0 })
  }
}

function nameOf({ cookie, deployments }: Settings, deploymentId: string): string {
  if (deployments.size === 1) return cookie.name
  // An id may have characters that a cookie's name cannot have.
  const isPlain = /^[\w-]+$/.test(deploymentId)
  return `${cookie.name}.${isPlain ? deploymentId : `.${Buffer.from(deploymentId).toString('base64url')}`}`
}

/** A page of a sibling domain can put another cookie of the same name in front: the first that is ours counts. */
function genuine(parts: Parts, c: Call, name: string): string | undefined {
  const values = valuesOf(c, name)
  return values.find((value) => parts.tokens.readRefreshToken(value) !== null) ?? values[0]
}

function valuesOf(c: Call, name: string): string[] {
  const pairs = (c.req.header('Cookie') ?? '').split(';').map((pair) => pair.trim())
  return pairs.filter((pair) => pair.startsWith(`${name}=`)).map((pair) => pair.slice(name.length + 1))
}

function write(parts: Parts, c: Call, { name, value, maxAge }: { name: string; value: string; maxAge: number }): void {
  const { secure, sameSite, partitioned, domain } = parts.settings.cookie
  setCookie(c, name, value, {
    path: '/',
    httpOnly: true,
    secure,
    sameSite,
    maxAge,
    ...(partitioned && { partitioned }),
    ...(domain !== undefined && { domain }),
  })
}
