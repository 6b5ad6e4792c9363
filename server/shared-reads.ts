// One read for all who wait for the same thing at the same moment: a message to thousands of listeners is read
// from the tables once. Nothing is kept once it has been read.

export class SharedReads {
  readonly #running = new Map<string, Promise<unknown>>()

  /**
   * @param key names what is read and the news that it must show: a read that began before that news is another one
   */
  read<T>(key: string, read: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key) as Promise<T> | undefined
    if (running !== undefined) return running
    const started = read().finally(() => this.#running.delete(key))
    this.#running.set(key, started)
    return started
  }
}
