// A stand-in for the Genesys Messenger snippet, for tests of sites that keep the vendor's widget: commands, events, plugins
// and a database, as far as the documentation of the snippet names them. Some commands never end, as in the real one.

type Hear = (event: object) => void
type Settle = (value?: unknown) => void

export interface MessengerStandIn {
  /** What a page has as `window.Genesys`. */
  readonly vendor: (kind: string, ...rest: unknown[]) => void
  /** Every command in its order, with its options. */
  readonly commands: { readonly name: string; readonly options: unknown }[]
  /** What `Database` holds under `messaging.customAttributes`. */
  attributes(): { readonly [name: string]: string }
  /** Says an event, to those who listen now and, for those that are repeated, to those who come later. */
  say(name: string, data?: object): void
  /** Runs a command that a plugin of the site has registered. */
  ask(plugin: string, command: string): Promise<unknown>
  readonly plugins: ReadonlySet<string>
}

/**
 * It knows nothing outside itself, so that a browser test can carry it into a page as text.
 *
 * @param hangs names of commands that never end
 */
export function standInMessenger(hangs: readonly string[] = []): MessengerStandIn {
  // Events that late subscribers are told again.
  const repeated = /^(Database|MessagingService|Auth)\.(ready|started|restored|restoring)$/
  const commands: { name: string; options: unknown }[] = []
  const listeners = new Map<string, Hear[]>()
  const told = new Map<string, object>()
  const registered = new Map<string, (event: { resolve: Settle; reject: Settle }) => void>()
  const plugins = new Set<string>()
  let attributes: { [name: string]: string } = {}

  const say = (name: string, data: object = {}): void => {
    const [publisher = '', event = ''] = name.split('.')
    const envelope = { time: 0, publisher, event: name, eventName: event, data }
    if (repeated.test(name)) told.set(name, { ...envelope, eventName: undefined })
    for (const hear of listeners.get(name) ?? []) hear(envelope)
  }

  const run = (name: string, options: unknown, ok: Settle | undefined): void => {
    commands.push({ name, options })
    const { messaging } = Object(options) as { messaging?: { customAttributes?: { [name: string]: string } } }
    if (name === 'Database.set') attributes = { ...messaging?.customAttributes }
    if (name === 'Database.update') attributes = { ...attributes, ...messaging?.customAttributes }
    if (name === 'Auth.logout') say('Auth.loggedOut')
    if (name === 'MessagingService.clearSession') say('MessagingService.sessionCleared')
    if (!hangs.includes(name)) ok?.({})
  }

  return {
    commands,
    plugins,
    say,
    attributes: () => attributes,
    vendor(kind, ...rest) {
      const [name, second, third] = rest as [string, unknown, Settle | undefined]
      if (kind === 'command') return run(name, second, third)
      if (kind === 'subscribe') {
        listeners.set(name, [...(listeners.get(name) ?? []), second as Hear])
        const before = told.get(name)
        if (before !== undefined) (second as Hear)(before)
      }
      if (kind === 'registerPlugin') {
        const api = {
          registerCommand: (command: string, act: (event: { resolve: Settle; reject: Settle }) => void) =>
            registered.set(`${name}.${command}`, act),
          ready: () => plugins.add(name),
        }
        ;(second as (plugin: typeof api) => void)(api)
      }
    },
    ask: (plugin, command) =>
      new Promise((resolve, reject) => {
        const act = registered.get(`${plugin}.${command}`)
        if (act === undefined) return reject(new Error(`Nobody has registered ${plugin}.${command}.`))
        act({ resolve, reject })
      }),
  }
}
