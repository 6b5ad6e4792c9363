// Fan-out over Redis or Valkey pub/sub. It may lose what it likes: a broker that is away is not waited for, and
// every connection that comes back is a gap.
import type { Redis, RedisOptions } from 'ioredis'
import type { Log } from '../log.ts'
import type { Fanout } from './fanout.ts'
import { remoteFanout, type Wire, type WireEvents } from './remote.ts'

const CHANNEL = 'holdfast:notices'
const GATHER_MS = 2
const PARCEL_BYTES_MAX = 32_768
const RETRY_MS_MAX = 2000
/** A broker that says nothing for this long is given up, in milliseconds. */
const COMMAND_TIMEOUT_MS = 3000
const PING_MS = 10_000

const OPTIONS = {
  // What cannot be said now is not worth saying later, and must not fill the memory.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
  commandTimeout: COMMAND_TIMEOUT_MS,
  connectTimeout: COMMAND_TIMEOUT_MS,
  retryStrategy: (attempt: number) =>
    Math.min(50 * 2 ** Math.min(attempt, 6), RETRY_MS_MAX) * (0.5 + Math.random() / 2),
} satisfies RedisOptions

export async function redisFanout(url: string, log: Log): Promise<Fanout> {
  // Loaded here, because a service without a broker starts faster without it.
  const { Redis } = await import('ioredis')
  const connect = () => new Redis(url, OPTIONS)
  return remoteFanout({
    gatherMs: GATHER_MS,
    parcelBytesMax: PARCEL_BYTES_MAX,
    connect: (events) => redisWire(connect, events, log),
  })
}

function redisWire(connect: () => Redis, events: WireEvents, log: Log): Wire {
  const [sender, listener] = [connect(), connect()]
  let isListening = false
  let isTold = false
  const lost = () => {
    isListening = false
    // Once for each loss, and not for each try to come back.
    if (!isTold) log('warn', 'fanout-lost')
    isTold = true
  }
  // The connection comes back by itself; without a listener an error would end the process.
  sender.on('error', () => {})
  listener.on('error', () => {})
  listener.on('close', lost)
  listener.on('message', (_channel: string, parcel: string) => events.onParcel(parcel))
  listener.on('ready', () => {
    listener.subscribe(CHANNEL).then(
      () => {
        isListening = true
        isTold = false
        log('info', 'fanout-connected')
        events.onConnected()
      },
      () => listener.disconnect(true),
    )
  })
  // A half-open connection to the broker looks like silence.
  const beat = setInterval(() => {
    if (isListening) listener.ping().catch(() => listener.disconnect(true))
    if (sender.status === 'ready') sender.ping().catch(() => sender.disconnect(true))
  }, PING_MS)
  beat.unref()
  return {
    get isConnected() {
      return isListening && sender.status === 'ready'
    },
    send: (parcel) => {
      if (sender.status === 'ready') sender.publish(CHANNEL, parcel).catch(() => {})
    },
    close: async () => {
      clearInterval(beat)
      listener.off('close', lost)
      // The last parcel is on its way; a broker that does not answer does not hold up the stop.
      await sender.quit().catch(() => {})
      sender.disconnect()
      listener.disconnect()
    },
  }
}
