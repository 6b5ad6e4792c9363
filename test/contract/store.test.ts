import { encryption } from '../../sw/encryption.ts'
import { memoryStore } from '../../sw/memory-store.ts'
import { bench } from '../unit/store-fixtures.ts'
import { storeContract } from './store.ts'

storeContract('memory', async () => memoryStore())
storeContract('IndexedDB', () => bench().open())
storeContract('IndexedDB, encrypted', () => bench().open(undefined, encryption()))
