// The harness for a site's own tests: a proxy that misbehaves, a service that can really be killed, a small site, a
// browser without a debugger. The simulator is added by its own part.

export { GUARD_CORPUS, measureGuard, type Sample } from './guard-corpus.ts'
export { check, type History, isClean, type Recorded, type Said, type Shown, type Verdict } from './checker.ts'
export { type Exchange, type FaultAction, type FaultProxy, type Rule, startProxy } from './proxy.ts'
export { type RawChromium, type RawTab, rawChromium } from './raw-chromium.ts'
export {
  freePort,
  type LoggedMessage,
  type ServiceProcess,
  type ServiceProcessOptions,
  startService,
} from './service.ts'
export { type Site, type SiteOptions, startSite } from './site.ts'
export {
  GENESYS_DEFAULTS,
  GENESYS_LIMITS,
  type Genesys,
  type GenesysFault,
  GenesysService,
  type GenesysSession,
  type GenesysSettings,
  startGenesys,
} from './genesys.ts'
export { type MessengerStandIn, standInMessenger } from './genesys-messenger.ts'
