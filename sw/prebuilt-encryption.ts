// Encryption for the prebuilt workers, which do not carry it: dist/holdfast-encryption.js, imported before one of them.
// A site's worker is then `importScripts('holdfast-encryption.js', 'holdfast-sw.js')`.

import { encryption } from './encryption.ts'
import type { DeploymentConfig } from './host.ts'

declare const self: { holdfastEncryption?: NonNullable<DeploymentConfig['encryption']> }

self.holdfastEncryption = encryption
