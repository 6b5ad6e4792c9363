// Which pages may talk to the service: the Origin header against the deployments' lists. WebSockets have no
// CORS, so the same answer serves both.
import { isOriginAllowed, type Settings } from './settings.ts'

/** For requests that have not named their deployment yet. Requests without an Origin come from no page. */
export function isAllowedSomewhere(settings: Settings, origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined || isOwn(origin, host)) return true
  for (const deployment of settings.deployments.values()) if (isOriginAllowed(deployment, origin)) return true
  return false
}

export function mayUseDeployment(
  settings: Settings,
  deploymentId: string,
  origin: string | undefined,
  host: string | undefined,
): boolean {
  const deployment = settings.deployments.get(deploymentId)
  if (deployment === undefined) return false
  return origin === undefined || isOwn(origin, host) || isOriginAllowed(deployment, origin)
}

/** The service's own pages. */
function isOwn(origin: string, host: string | undefined): boolean {
  return host !== undefined && (origin === `https://${host}` || origin === `http://${host}`)
}
