// What a site does for the privacy of its visitors: sign in, sign out, and say what a wipe has done.

import { type Chat, isHoldfastError } from 'holdfast'

declare function showNewVisitor(): void
declare function askWhatToDoWithUnsent(): Promise<'send' | 'discard'>

/** The site's own sign-in and sign-out, carried to the chat. */
export async function follow(chat: Chat, tokenOfTheSite: string): Promise<void> {
  // Whoever signs in: a guest goes on, another user begins with nothing of the one before.
  await chat.authenticate({ token: tokenOfTheSite })

  // Told in every tab: at a logout, at another user's sign-in, and when a shared device was left.
  chat.on('signed-out', showNewVisitor)
}

/** A form before the chat: who it is, and what they agree to. */
export async function agree(chat: Chat, email: string): Promise<void> {
  // Only what was agreed to, and who said so: both end by themselves, after a day and half a year.
  await chat.context.set({ identity_email: email, consent_recording: true })
  // Taken back: at once, here and for the agent.
  await chat.context.remove('consent_recording')
}

export async function signOut(chat: Chat): Promise<boolean> {
  try {
    const { verified } = await chat.logout({ unsent: 'refuse' })
    return verified
  } catch (error) {
    if (!isHoldfastError(error, 'OUTBOX_UNSENT')) throw error
    const { verified } = await chat.logout({ unsent: await askWhatToDoWithUnsent() })
    return verified
  }
}
