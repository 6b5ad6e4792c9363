// What an operator does from the command line to the keys and the embedded store, with or without a running
// service beside it.
import { existsSync } from 'node:fs'
import { chmod, copyFile, cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ATTACHMENTS_FOLDER } from './attachments.ts'
import { openBacking, STORE_FILE, withKeys } from './backing.ts'
import { KEY_LEAD_MS, KEYS_FILE, type KeyRing, renewed } from './keys.ts'
import type { EpochMs } from './session.ts'
import type { SessionService } from './service.ts'
import type { Settings } from './settings.ts'

export class NothingThereError extends Error {}

/** Where a folder is misspelt, a tool would make a new one, and say that all went well. */
function missing({ database, data }: Settings, file: string): boolean {
  return database === undefined && !existsSync(join(data, file))
}

/** Adds new keys to the ring, which begin after the lead, and leaves out those that nothing can need. */
export async function renewKeys(settings: Settings, ring: KeyRing | undefined, now: EpochMs): Promise<string> {
  if (ring === undefined && missing(settings, KEYS_FILE))
    throw new NothingThereError(`There are no keys in ${settings.data}.`)
  return withKeys(settings, ring, async (keys) => {
    const present = await keys.read()
    const lives = { accessMs: settings.agentTokenMs, refreshMs: settings.sessionMs + settings.archiveReferenceMs }
    const next = await renewed(present, now, lives)
    if (!(await keys.replace(present, next))) {
      throw new Error('The keys were not renewed: they come from the configuration, or another was faster.')
    }
    const at = new Date(now + KEY_LEAD_MS).toISOString()
    return `${next.signing.length} signing keys now; the new one signs from ${at}. Running nodes read it within a minute.`
  })
}

/** Copies the embedded store of a service that does not run into a new file. */
export async function copyStore(settings: Settings, file: string): Promise<void> {
  if (missing(settings, STORE_FILE)) throw new NothingThereError(`There is no store in ${settings.data}.`)
  const { store } = await openBacking(settings, undefined, Date.now)
  try {
    await store.backup(file)
  } finally {
    await store.close()
  }
}

/** Copies the store, the attachments and the keys of a running service into a folder; all are needed to go on from there. */
export async function backUp(service: SessionService, data: string, folder: string, now: EpochMs): Promise<string> {
  const target = join(folder, new Date(now).toISOString().replace(/[:.]/g, '-'))
  await mkdir(target, { recursive: true, mode: 0o700 })
  await service.backup(join(target, STORE_FILE))
  // After the store: what it names is whole by then, and what came since harms nothing.
  const files = join(data, ATTACHMENTS_FOLDER)
  if (existsSync(files)) await cp(files, join(target, ATTACHMENTS_FOLDER), { recursive: true })
  await copyFile(join(data, 'keys.json'), join(target, 'keys.json'))
  await chmod(join(target, 'keys.json'), 0o600)
  return target
}
