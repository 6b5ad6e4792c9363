// Prints the tables of docs/operations.md: `node scripts/run-ts.mjs bench/capacity.ts`. Change what is measured or
// assumed in testing/capacity.ts.
import { capacityTables } from '../testing/capacity.ts'

const { needs, storms } = capacityTables()
console.log(`${needs}\n\n${storms}`)
