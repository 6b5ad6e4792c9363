// The OpenAPI document of a service as the tests use it: the list of its operations, the refusals that each one
// documents, and whether the document is sound in itself.
import type { SessionService } from '../../server/index.ts'

export type Schema = {
  type?: string
  properties?: Record<string, Schema>
  required?: string[]
  enum?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  oneOf?: Schema[]
  items?: Schema
  maxLength?: number
  $ref?: string
}
type Parameter = { in: string; name: string; schema?: Schema; required?: boolean }
type Described = {
  operationId?: string
  summary?: string
  security?: unknown[]
  parameters?: Parameter[]
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses?: Record<string, { description?: string; content?: Record<string, { schema?: Schema }> }>
}
export type Document = {
  openapi: string
  info: object
  paths: Record<string, Record<string, Described>>
  components?: object
}

export type Operation = Described & {
  id: string
  method: string
  path: string
  isOpen: boolean
  body?: [string, Schema]
}

export async function documentOf(service: Pick<SessionService, 'fetch'>): Promise<Document> {
  return (await (await service.fetch(new Request('http://localhost/openapi.json'))).json()) as Document
}

export function operationsOf(document: Document): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => {
      const body = Object.entries(described.requestBody?.content ?? {}).map(
        ([type, { schema }]) => [type, schema] as const,
      )[0]
      return {
        ...described,
        id: described.operationId ?? '',
        method: method.toUpperCase(),
        path,
        isOpen: described.security?.length === 0,
        ...(body && { body: [body[0], body[1]] as [string, Schema] }),
      }
    }),
  )
}

/** What is wrong with the document: the parts of OpenAPI 3.1 that tools trip over. */
export function flawsOf(document: Document): string[] {
  const flaws: string[] = []
  if (!/^3\.1\.\d+$/.test(document.openapi)) flaws.push('is not OpenAPI 3.1')
  const ids = new Set<string>()
  for (const { id, method, path, parameters = [], responses = {}, body, summary } of operationsOf(document)) {
    const at = `${method} ${path}`
    if (id === '' || ids.has(id)) flaws.push(`${at}: operationId ${id} is missing or not unique`)
    ids.add(id)
    if (!summary) flaws.push(`${at}: no summary`)
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    const declared = parameters.filter((one) => one.in === 'path').map((one) => one.name)
    if (named.sort().join() !== declared.sort().join()) flaws.push(`${at}: path parameters ${declared} for ${named}`)
    for (const one of parameters) if (!one.schema) flaws.push(`${at}: parameter ${one.name} has no schema`)
    for (const one of parameters)
      if (one.in === 'path' && !one.required) flaws.push(`${at}: ${one.name} is not required`)
    const keys = parameters.map((one) => `${one.in} ${one.name}`)
    if (new Set(keys).size !== keys.length) flaws.push(`${at}: a parameter is declared twice`)
    if (body && method === 'GET') flaws.push(`${at}: a body on GET`)
    if (!Object.keys(responses).some((status) => /^[123]/.test(status))) flaws.push(`${at}: no success`)
    for (const [status, { description, content = {} }] of Object.entries(responses)) {
      if (!/^[1-5]\d\d$/.test(status) || !description) flaws.push(`${at}: response ${status} has no description`)
      for (const [type, { schema }] of Object.entries(content))
        if (!schema) flaws.push(`${at}: ${status} ${type} has no schema`)
    }
  }
  JSON.stringify(document, (key, value: unknown) => {
    if (key === '$ref' && typeof value === 'string' && resolved(document, value) === undefined)
      flaws.push(`${value} leads nowhere`)
    return value
  })
  return flaws
}

/** What of an answer is not as the document says: its status, its code, its media type, a member. Empty when all is. */
export function deviationOf(
  document: Document,
  { responses = {} }: Pick<Described, 'responses'>,
  answer: { status: number; type: string; text: string },
): string {
  const told = responses[answer.status]
  if (told === undefined) return `${answer.status} is not documented`
  const type = answer.type.split(';')[0] ?? ''
  if (answer.text === '') return Object.keys(told.content ?? {}).length > 0 ? 'an answer without a body' : ''
  const schema = (told.content?.[type] ?? told.content?.['*/*'])?.schema
  if (schema === undefined) return `${answer.status} ${type} is not documented`
  if (!type.endsWith('json')) return ''
  const value = JSON.parse(answer.text) as { code?: string }
  if (type.includes('problem') && !told.description?.includes(`\`${value.code}\``))
    return `${value.code} is not documented`
  return misfit(document, schema, value, type)
}

function misfit(document: Document, schema: Schema, value: unknown, at: string): string {
  if (schema.$ref !== undefined) return misfit(document, resolved(document, schema.$ref) as Schema, value, at)
  const kinds = schema.anyOf ?? schema.oneOf
  if (kinds !== undefined) {
    const found = kinds.map((kind) => misfit(document, kind, value, at))
    return found.includes('') ? '' : (found[0] ?? '')
  }
  if (schema.enum && !schema.enum.includes(value)) return `${at} is none of ${schema.enum}`
  if (schema.const !== undefined && schema.const !== value) return `${at} is not ${schema.const}`
  const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
  if (schema.type !== undefined && schema.type !== kind) return `${at} is ${kind}, not ${schema.type}`
  if (Array.isArray(value)) return firstOf(value.map((one) => misfit(document, schema.items ?? {}, one, `${at}[]`)))
  if (kind !== 'object' || schema.properties === undefined) return ''
  const missing = schema.required?.find((name) => !Object.hasOwn(Object(value), name))
  if (missing !== undefined) return `${at} has no ${missing}`
  const members = Object.entries(value as object)
  const own = schema.properties
  return firstOf(
    members.map(([name, one]) => (own[name] ? misfit(document, own[name], one, `${at}.${name}`) : `${at} has ${name}`)),
  )
}

const firstOf = (found: string[]): string => found.find((one) => one !== '') ?? ''

function resolved(document: Document, ref: string): unknown {
  if (!ref.startsWith('#/')) return undefined
  return ref
    .slice(2)
    .split('/')
    .reduce<unknown>((node, key) => (Object(node) as Record<string, unknown>)[key], document)
}
