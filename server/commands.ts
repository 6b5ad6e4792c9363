// Commands that talk to a running service: what an operator asks it from the command line.
import { mintAgentToken } from './service.ts'
import type { Settings } from './settings.ts'
import type { Tokens } from './tokens.ts'

const ANSWER_TIMEOUT_MS = 10_000

type Letter = { id: string; event: string; createdAt: number; reason: string | null; conversationId: string | null }

/** Lists the dead letters of a deployment, one line each; with `retry` gives each its tries again. */
export async function deadLetters(
  call: { url: string; tokens: Tokens; deploymentId: string; retry: boolean },
  settings: Pick<Settings, 'agentTokenMs'>,
  print: (line: string) => void,
): Promise<void> {
  const { url, tokens, deploymentId, retry } = call
  const operator = { deploymentId, agentId: 'operator', name: 'Operator' }
  const token = await mintAgentToken(tokens, settings, operator, Date.now())
  const ask = async (path: string, method = 'GET'): Promise<unknown> => {
    const response = await fetch(new URL(path, url), {
      method,
      headers: { Authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    })
    if (!response.ok) throw new Error(`${url} answered ${response.status} to ${method} ${path}.`)
    return response.json()
  }
  const path = '/api/v2/operations/dead-letters'
  const { deadLetters: letters } = (await ask(path)) as { deadLetters: Letter[] }
  for (const { id, event, createdAt, reason, conversationId } of letters) {
    if (retry) await ask(`${path}/${encodeURIComponent(id)}/retry`, 'POST')
    const fields = [new Date(createdAt).toISOString(), event, conversationId ?? '-', reason ?? '-', id]
    print(`${fields.join('  ')}${retry ? '  (tried again)' : ''}`)
  }
  if (letters.length === 0) print('There are no dead letters.')
}
