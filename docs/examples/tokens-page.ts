// A page that signs a visitor in, supplies tokens, and steps up.

import { type Chat, connect } from 'holdfast'
import { accessToken, supplyTokens } from 'holdfast/tokens'

/** What your sign-in gives when the visitor comes back from it: nothing in a page that did not begin one. */
declare function signInResult(): { code: string; codeVerifier: string; redirectUri: string } | undefined
declare function beginSignIn(): never

export async function start(): Promise<Chat> {
  const chat = await connect({ worker: '/sw.js', scope: '/', type: 'module', deployment: 'acme' })

  supplyTokens(chat, {
    // A code, not the tokens: the worker exchanges it, and no page ever sees what it gives.
    api: () => signInResult() ?? beginSignIn(),
    // Where nothing can be refreshed: looked up each time, by one tab at a time.
    history: async (signal) => (await fetch('/chat/history-token', { signal })).json(),
  })

  chat.on('auth-required', ({ code, message }) => {
    console.warn(code, message)
    document.querySelector('#sign-in')?.removeAttribute('hidden')
  })
  return chat
}

/** A call of the page's own with a borrowed token: once more, if it was refused. */
export async function readHistory(chat: Chat): Promise<Response> {
  const call = async (refused?: number) => {
    const { token, generation } = await accessToken(chat, 'history', refused)
    const answer = await fetch('https://history.example.com/', { headers: { authorization: `Bearer ${token}` } })
    return { answer, generation }
  }
  const { answer, generation } = await call()
  return answer.status === 401 ? (await call(generation)).answer : answer
}
