// The site's own worker: a chat, a lease for the site's API from any OAuth issuer, and a fetch handler that uses it.

import { dpop } from 'holdfast/dpop'
import { authorizeFetch } from 'holdfast/fetch'
import { oauth } from 'holdfast/oauth'
import { sessionService } from 'holdfast/platforms/session-service'
import { startWorker } from 'holdfast/sw'

const worker = startWorker({
  deployments: {
    acme: {
      platform: sessionService({ url: 'https://chat.example.com' }),
      vault: 'broker',
      leases: {
        api: { source: oauth({ issuer: 'https://login.example.com', clientId: 'shop', dpop: dpop() }) },
        history: { source: 'page', lent: true },
      },
    },
  },
})

authorizeFetch(worker, [{ origin: 'https://api.example.com', deployment: 'acme', lease: 'api' }])
