// Parts of the shapes in schemas.ts: records with every name they have, and what a conversation says of the one before.
import * as v from 'valibot'

/** What a conversation says of the one before it. */
export const PreviousWire = v.object({
  previousId: v.optional(v.string()),
  resumedFrom: v.optional(v.string()),
  previousState: v.optional(v.picklist(['closed', 'expired', 'archived', 'gone'])),
})
export type PreviousWire = v.InferOutput<typeof PreviousWire>

/** valibot leaves these out of a record, silently. Here a name is a name: nothing reads members by inheritance. */
const LEFT_OUT = ['__proto__', 'constructor', 'prototype']

type Checked = { value: v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>> }

/** The same record, which also takes the names that valibot leaves out. */
export function withEveryName<R extends v.BaseSchema<unknown, unknown, v.BaseIssue<unknown>> & Checked>(record: R): R {
  const run: R['~run'] = (dataset, config) => {
    const input = Object(dataset.value) as Record<string, unknown>
    const read = record['~run'](dataset, config)
    const issues: v.BaseIssue<unknown>[] = [...(read.issues ?? [])]
    for (const name of LEFT_OUT.filter((one) => Object.hasOwn(input, one))) {
      const member = record.value['~run']({ value: input[name] }, config)
      issues.push(...(member.issues ?? []))
      // To set `__proto__` is not to have it.
      const property = { value: member.value, enumerable: true, writable: true, configurable: true }
      if (typeof read.value === 'object' && read.value !== null) Object.defineProperty(read.value, name, property)
    }
    const [first, ...more] = issues
    return first === undefined ? read : { typed: false, value: read.value, issues: [first, ...more] }
  }
  return { ...record, '~run': run }
}
