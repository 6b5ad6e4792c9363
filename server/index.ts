// The public face of `holdfast/server`, and nothing else.
export { type KeyRing, makeKeyRing } from './keys.ts'
export type { LimitOptions } from './limits.ts'
export type { LogEntry } from './log.ts'
export { type AgentIdentity, createSessionService, type SessionService } from './service.ts'
export type { CookieOptions, DeploymentOptions, IdentityOptions, ServiceOptions, SnapshotOptions } from './settings.ts'
