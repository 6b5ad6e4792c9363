#!/usr/bin/env node
// Where the program begins: the heap is told how to grow before anything large is loaded, then the command line.
import { keepHeapSmall } from './heap.ts'

keepHeapSmall([...process.execArgv, process.env['NODE_OPTIONS'] ?? ''])
const { main } = await import('./command-line.ts')
await main(process.argv.slice(2))
