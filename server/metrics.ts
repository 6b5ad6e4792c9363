// Counters and gauges of one node, in the Prometheus text format. No label carries an id of anyone.

const COUNTERS = {
  sessions_opened: 'Sessions opened anew.',
  sessions_resumed: 'Sessions resumed by cookie, key or access token.',
  refresh_requests: 'Calls to auth/refresh.',
  rotations: 'Refresh tokens rotated.',
  refresh_replays: 'Successors answered again.',
  refresh_waits: 'Refreshes put off because too many answers seem to get lost.',
  refresh_refused: 'Refreshes refused with invalid_grant.',
  reuse_detected: 'Families revoked because a spent token came back.',
  sessions_revoked: 'Families ended by their owner.',
  identities_joined: 'Sessions joined to a user.',
  identities_refused: 'Identity tokens refused.',
  conversations_created: 'Conversations created.',
  messages: 'Messages appended.',
  message_replays: 'Messages answered again to the same key.',
  snapshot_pushes: "State snapshots taken by the sites' own stores.",
  snapshot_push_failures: 'Tries to push a state snapshot that failed.',
  snapshot_pushes_dead: 'State snapshots given up after their last try: see dead-letters.',
  polls: 'Long polls answered.',
  sockets_opened: 'Sockets that authenticated.',
  sockets_dropped: 'Sockets ended because they took too little, too much or no notice.',
  rate_limited: 'Requests and streams refused because of a limit.',
  store_refusals: 'Requests refused because the store was away or its disk full.',
  http_2xx: 'Answers by class.',
  http_3xx: 'Answers by class.',
  http_4xx: 'Answers by class.',
  http_5xx: 'Answers by class.',
} as const

export type CounterName = keyof typeof COUNTERS

export class Metrics {
  readonly #counts = new Map<CounterName, number>()
  readonly #gauges = new Map<string, { help: string; read: () => number }>()

  count(name: CounterName): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  value(name: CounterName): number {
    return this.#counts.get(name) ?? 0
  }

  gauge(name: string, help: string, read: () => number): void {
    this.#gauges.set(name, { help, read })
  }

  render(): string {
    const lines: string[] = []
    for (const [name, help] of Object.entries(COUNTERS)) {
      const full = `holdfast_${name}_total`
      lines.push(`# HELP ${full} ${help}`, `# TYPE ${full} counter`, `${full} ${this.value(name as CounterName)}`)
    }
    for (const [name, { help, read }] of this.#gauges) {
      const full = `holdfast_${name}`
      lines.push(`# HELP ${full} ${help}`, `# TYPE ${full} gauge`, `${full} ${read()}`)
    }
    return `${lines.join('\n')}\n`
  }
}
