// The session cookie: the refresh token of the family, out of reach of every script.
import { getCookie, setCookie } from 'hono/cookie'
import type { Call, Parts } from './parts.ts'

export function sessionCookie(parts: Parts, c: Call): string | undefined {
  return getCookie(c, parts.settings.cookie.name)
}

export function keepSessionCookie(parts: Parts, c: Call, refreshToken: string): void {
  const { sessionMs, archiveReferenceMs } = parts.settings
  // It outlives the session, so that a late visitor still finds the archive of what was said.
  write(parts, c, refreshToken, Math.floor((sessionMs + archiveReferenceMs) / 1000))
}

export function dropSessionCookie(parts: Parts, c: Call): void {
  write(parts, c, '', 0)
}

function write(parts: Parts, c: Call, value: string, maxAge: number): void {
  const { name, secure, sameSite, partitioned, domain } = parts.settings.cookie
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
