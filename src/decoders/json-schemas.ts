/**
 * JSON Schemas for the data of event types, compiled when the consumer file is loaded: once in each worker and once on the main thread. In a file of
 * its own, so that a consumer without schemas does not load ajv.
 */
import { Ajv2020 } from 'ajv/dist/2020.js'
import type { EventView } from '../core/event.ts'

export interface JsonSchemas {
  /** What is wrong with the data of an event of this type; null where nothing is, or the type has no schema. */
  problem(type: string, event: EventView): string | null
}

/** By event type. Schemas are of draft 2020-12; `format` says something to people and checks nothing, as that draft has it. */
export function jsonSchemas(schemas: Readonly<Record<string, object>>): JsonSchemas {
  const ajv = new Ajv2020({ validateFormats: false, strictTypes: false, strictTuples: false, logger: false })
  const validators = new Map(Object.entries(schemas).map(([type, schema]) => [type, compile(type, schema)]))

  function compile(type: string, schema: object) {
    try {
      return ajv.compile(schema)
    } catch (error) {
      throw new TypeError(`the schema of ${type}: ${(error as Error).message}`, { cause: error })
    }
  }

  return {
    problem(type, { bytes, dataStart, dataEnd }) {
      const validate = validators.get(type)
      if (validate === undefined) return null
      if (dataStart < 0) return 'There is no data that is JSON.'
      if (validate(JSON.parse(bytes.toString('utf8', dataStart, dataEnd)))) return null
      const [first] = validate.errors ?? []
      return `${first?.instancePath.slice(0, 100) || 'It'} ${first?.message ?? 'is wrong'}.`
    },
  }
}
