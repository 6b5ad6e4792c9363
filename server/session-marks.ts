// How far each side of a conversation has come: up to which message everything was delivered to it, and up to which it has
// read. Pure. One number each, whatever the number of messages; none of them ever goes back.

export type Side = 'agent' | 'customer'
/** Places in the conversation, 0 for none. */
export type Mark = { delivered: number; read: number }
export type Marks = Record<Side, Mark>

/** What was read was delivered, and nobody has read what has not been said yet. */
export function advanced(before: Mark, said: Mark, lastSeq: number): Mark {
  const read = Math.max(before.read, Math.min(said.read, lastSeq))
  return { read, delivered: Math.max(before.delivered, read, Math.min(said.delivered, lastSeq)) }
}

/** Grows with every mark that says something new: of two pictures, the one with the higher place is the newer. */
export const placeOf = ({ agent, customer }: Marks): number =>
  agent.delivered + agent.read + customer.delivered + customer.read
