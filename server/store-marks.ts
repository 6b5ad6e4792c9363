// Marks in the tables: four numbers in the row of the conversation, which whoever looks at it reads anyway.
import type { Driver } from './drivers/driver.ts'
import { CONVERSATION_COLUMNS, type Conversation, toConversation } from './rows.ts'
import { advanced, type Mark, type Side } from './session-marks.ts'

export class MarkStore {
  readonly #driver: Driver
  constructor(driver: Driver) {
    this.#driver = driver
  }

  /** Returns the conversation with its marks, if that said anything new. It is no change of the conversation itself. */
  async advance(id: string, side: Side, said: Mark): Promise<Conversation | undefined> {
    const rows = await this.#driver.q(`select ${CONVERSATION_COLUMNS} from conversation where id = $1`, [id])
    const present = rows[0] && toConversation(rows[0])
    if (present === undefined) return undefined
    const before = present.marks[side]
    const { delivered, read } = advanced(before, said, present.lastSeq)
    if (delivered === before.delivered && read === before.read) return undefined
    // Another node may have been told more since.
    const higher = (column: string, slot: string): string =>
      `${column} = case when ${column} < ${slot} then ${slot} else ${column} end`
    const changed = await this.#driver.tx((q) =>
      q(
        `update conversation set ${higher(`${side}_delivered`, '$2')}, ${higher(`${side}_read`, '$3')}
         where id = $1 returning ${CONVERSATION_COLUMNS}`,
        [id, delivered, read],
      ),
    )
    return changed[0] && toConversation(changed[0])
  }
}
