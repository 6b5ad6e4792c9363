// What comes back while a run is being sent: acknowledgements and echoes wait a little for company, and share a turn.
// Killed meanwhile, the entries are sent again with their keys.

import type { Input } from '../core/inputs.ts'
import type { Ports } from './engine-ports.ts'
import { PAUSE_MS_MAX } from './engine-tell.ts'

/** Where many deployments look at once, each leaves the others their time. */
const GATHER_MS = 200

export class Gathering {
  /** So many are being sent. */
  runs = 0
  readonly #ports: Pick<Ports, 'clock' | 'crowd'>
  readonly #report: (input: Input) => void
  #gathered: Input[] = []

  constructor(ports: Pick<Ports, 'clock' | 'crowd'>, report: (input: Input) => void) {
    this.#ports = ports
    this.#report = report
  }

  add(input: Input): void {
    const { clock, crowd } = this.#ports
    const waitMs = Math.min(GATHER_MS * (crowd?.size || 1), PAUSE_MS_MAX)
    if (this.#gathered.push(input) === 1) clock.alarm(clock.now() + waitMs, () => this.flush())
  }

  flush(): void {
    for (const input of this.#gathered.splice(0)) this.#report(input)
  }

  /** What was on its way for who is gone. */
  forget(): void {
    this.#gathered = []
  }
}
