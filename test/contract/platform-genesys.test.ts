// The Genesys adapter under the part of the contract that both kinds of platforms pass, against the emulator.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocket as WsSocket } from 'ws'
import { genesys } from '../../sw/platforms/genesys.ts'
import { type Genesys, startGenesys } from '../../testing/genesys.ts'
import { commonContract } from './platform-common.ts'
import { faultContract } from './platform-faults.ts'
import { leaseContract } from './platform-leases.ts'
import { losing, must, type PlatformWorld } from './platform-world.ts'

const FAULTS = { request: 'unheard-cut', answer: 'ack-cut', patience: 'throttled' } as const
/** A guest's farewell goes over the socket, as messages do. */
const OVER_SOCKET = { message: FAULTS, farewell: { ...FAULTS, answer: 'clear-cut' } } as const
const LOSSY = { refresh: /token\/refresh$/, revoke: /token\/revoke$/ }

async function genesysWorld(): Promise<PlatformWorld> {
  const emulator = await startGenesys()
  const gone = createServer()
  await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve))
  const { port } = gone.address() as AddressInfo
  await new Promise((resolve) => gone.close(resolve))
  const nobody = `http://127.0.0.1:${port}`

  const lossy = losing(fetch, LOSSY)
  const adapter = (endpoints: Genesys['endpoints'], deployment = emulator.deploymentId) =>
    genesys({ domain: 'example', endpoints })({
      deployment,
      now: Date.now,
      fetch: lossy.fetch,
      WebSocket: WsSocket as unknown as typeof WebSocket,
    })
  const session = () => [...emulator.service.sessions.values()][0] ?? fail()
  const fail = (): never => {
    throw new Error('Nobody has connected.')
  }

  return {
    browser: ({ deployment } = {}) => adapter(emulator.endpoints, deployment),
    nowhere: () => adapter({ messaging: nobody.replace('http', 'ws'), api: nobody, cdn: nobody }),
    silent: () => adapter(emulator.endpoints),
    at: (url) => adapter({ messaging: url.replace('http', 'ws'), api: url, cdn: url }),
    lose(what, of = 'message') {
      if (lossy.lose(what, of) || of === 'refresh' || of === 'revoke') return
      if (what === 'broken' || what === 'portal') throw new Error('There are no pages on a socket.')
      emulator.service.fault(OVER_SOCKET[of][what])
    },
    async refreshable(platform) {
      const supplied = { authCode: emulator.service.authorize('ada'), redirectUri: 'https://shop.example/back' }
      const grant = must((await platform.exchange?.({ key: 'sign-in', lease: 'auth', supplied })) ?? fail())
      return { token: grant.accessToken, refreshToken: grant.refreshToken ?? '', lease: 'auth' }
    },
    async agentSays(_, text) {
      emulator.service.agentSays(session(), text)
    },
    async agentCloses() {
      emulator.service.agentCloses(session())
    },
    end: () => emulator.close(),
  }
}

commonContract('Genesys Cloud Web Messaging', genesysWorld)
faultContract('Genesys Cloud Web Messaging', genesysWorld)
leaseContract('Genesys Cloud Web Messaging', genesysWorld)
