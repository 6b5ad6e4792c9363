// What the pages of the bench hold beside the library. Types only.

declare global {
  var holdfast: typeof import('../src/index.ts')
  var chat: import('../src/index.ts').Chat
  var chats: import('../src/index.ts').Chat[]
  var floor: (type: string, value?: unknown) => Promise<unknown>
  var sawAt: number[]
}

export {}
