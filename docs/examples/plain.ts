// A widget without a framework: the state is painted from one place, and everything that is sent has a visible end.

import { connect, isHoldfastError, type Message, type State } from 'holdfast'

const list = document.querySelector('#messages') as HTMLElement
const status = document.querySelector('#status') as HTMLElement
const form = document.querySelector('#composer') as HTMLFormElement
const input = document.querySelector('#text') as HTMLTextAreaElement

export async function startWidget(): Promise<void> {
  const chat = await connect({ worker: '/holdfast/sw.js', deployment: 'acme' })

  // Called at once with what this browser has kept, then after every change in any tab.
  chat.subscribe(paint)
  chat.on('message', ({ role }) => role === 'agent' && document.hidden && beep())

  input.value = chat.draft.text
  input.addEventListener('input', () => {
    chat.draft.text = input.value
    chat.typing()
  })

  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    try {
      const { settled } = await chat.send(input.value)
      input.value = chat.draft.text = ''
      const outcome = await settled
      if (outcome.status === 'dead') status.textContent = `Not delivered (${outcome.code}).`
    } catch (error) {
      if (!isHoldfastError(error, 'MESSAGE_TOO_LONG')) throw error
      status.textContent = error.message
    }
  })
}

function paint(state: State): void {
  status.textContent = state.phase
  list.replaceChildren(...state.messages.map(itemOf))
}

function itemOf({ role, text, status: delivery }: Message): HTMLElement {
  const item = document.createElement('li')
  item.className = `${role} ${delivery}`
  item.textContent = text
  return item
}

function beep(): void {
  void new Audio('/beep.mp3').play()
}
