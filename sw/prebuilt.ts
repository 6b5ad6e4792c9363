// The worker for sites without a build step: dist/holdfast-sw.js, registered with `?config=/holdfast/config.json`,
// or pulled into a site's own worker by importScripts after `self.holdfastConfig = '/holdfast/config.json'`.

import './prebuilt-kept.ts'
import { sessionService } from './platforms/session-service.ts'
import { startPrebuilt } from './prebuilt-start.ts'
import { signer } from './engine-identity.ts'

startPrebuilt({ 'session-service': sessionService }, { signer })
