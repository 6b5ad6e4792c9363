// A client of the emulated Genesys service that speaks its wire by hand, in a world whose time the test moves.
import type { GenesysConnection } from '../../testing/genesys-connection.ts'
import type { GenesysSettings, Shape } from '../../testing/genesys-rules.ts'
import { GenesysService } from '../../testing/genesys-service.ts'
import type { GenesysSession } from '../../testing/genesys-session.ts'

export function emulator(settings: Partial<GenesysSettings> = {}) {
  let now = Date.UTC(2026, 0, 5, 9)
  let count = 0
  const due: { at: number; run: () => void }[] = []
  const service = new GenesysService(
    {
      now: () => now,
      draw: () => 0.5,
      uuid: () => `00000000-0000-4000-8000-${String(++count).padStart(12, '0')}`,
      after(ms, run) {
        due.push({ at: now + ms, run })
        return () => {}
      },
    },
    settings,
  )
  const wait = (ms: number) => {
    now += ms
    for (const { run } of due.splice(0)) run()
  }
  return { service, wait, client: (token = 'token-1', origin?: string) => dial(service, token, origin) }
}

export type Client = ReturnType<typeof dial>

export function dial(service: GenesysService, token: string, origin?: string) {
  const frames: Shape[] = []
  let closedWith: number | undefined
  const { deploymentId } = service.settings
  const connection = service.connect(deploymentId, origin, {
    send: (frame) => frames.push(JSON.parse(JSON.stringify(frame)) as Shape),
    close: (code) => {
      closedWith = code
    },
  }) as GenesysConnection
  const say = (action: string, rest: object = {}) => {
    const tracingId = `trace-${frames.length}-${action}`
    const before = frames.length
    connection.receive({ action, token, tracingId, ...rest })
    return frames.slice(before) as { [name: string]: never }[]
  }
  return {
    frames,
    connection,
    say,
    closed: () => closedWith,
    classes: () => frames.map((frame) => frame['class']),
    configure: (rest: object = {}) => say('configureSession', { deploymentId, ...rest }),
    text: (text: string, rest: object = {}) => say('onMessage', { message: { type: 'Text', text }, ...rest }),
    session: () => service.sessions.get(token) as GenesysSession,
    history(query = '') {
      const [answer] = say('getJwt')
      const bearer = (Object(answer).body as { jwt: string }).jwt
      return call(service, 'GET /api/v2/webmessaging/messages', { bearer, query })
    },
  }
}

export function call(
  service: GenesysService,
  line: string,
  { bearer, query = '', body }: { bearer?: string; query?: string; body?: object } = {},
) {
  const [method = '', path = ''] = line.split(' ')
  const answer = service.request({ method, path, query: new URLSearchParams(query), bearer, origin: undefined, body })
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into answers of every shape.
  return answer as { status: number; body: any }
}
