/**
 * What a decoder says of a record. A bad record is a value, never an exception: it becomes a row in `rejects` in the same transaction as its
 * good neighbours. The codes are one table, one row each; metrics and `rejects.code` carry no others.
 */

export const rejectCodes = {
  tombstone: 'The value is null, and no ce_ headers make it an event without data.',
  empty: 'The value is empty.',
  byte_order_mark: 'The JSON text begins with a byte order mark.',
  not_json: 'The value is not JSON.',
  not_an_object: 'The value is JSON, but not an object.',
  truncated: 'The JSON text ends too early.',
  trailing_bytes: 'Something follows the end of the JSON text.',
  too_deep: 'The JSON is nested deeper than 128 levels.',
  too_many_attributes: 'The event has more than 256 attributes.',
  nul_character: 'A string holds U+0000, which PostgreSQL text cannot store.',
  lone_surrogate: 'A string holds half a surrogate pair.',
  control_character: 'A string holds an unescaped control character.',
  number_out_of_range: 'A number has more than 1,000 digits, or an exponent beyond 1,000.',
  bad_utf8: 'The bytes are not UTF-8.',
  duplicate_attribute: 'An attribute appears twice.',
  mixed_modes: 'The ce_ headers speak of another event than the value.',
  attribute_name: 'An attribute name is not lower-case letters and digits.',
  attribute_type: 'An attribute has the wrong JSON type.',
  attribute_missing: 'A required attribute is missing or empty.',
  attribute_too_long: 'An attribute that has a column is longer than 1,024 bytes, too long for an index.',
  specversion: 'The specversion is not 1.0.',
  bad_uri: 'An attribute is not the URI it must be.',
  bad_time: 'The time is not an RFC 3339 timestamp.',
  time_out_of_window: 'The time is further back or ahead than the settings allow.',
  content_type: 'The content type is not one this consumer reads.',
  data_not_json: 'The content type says that the data is JSON, and it is not.',
  data_twice: 'The event has both data and data_base64.',
  bad_base64: 'data_base64 is not base64.',
  schema_violation: 'The data does not fit the schema of its type.',
  tenant_unknown: 'The tenant is none of those that the consumer knows.',
  too_large: 'The record is larger than the settings allow.',
  refused: 'PostgreSQL refuses the row.',
  unreadable_batch: "Kafka's record batch cannot be unpacked.",
} as const

export type RejectCode = keyof typeof rejectCodes

export interface Reject {
  readonly kind: 'reject'
  readonly code: RejectCode
  /** For the person who reads the row: which attribute, which byte, what was expected. */
  readonly reason: string
}

export interface Skip {
  readonly kind: 'skip'
}

/** null: the record is good, and the event view holds it. */
export type Verdict = Reject | Skip | null

export const skip: Skip = { kind: 'skip' }

export function reject(code: RejectCode, detail = ''): Reject {
  return { kind: 'reject', code, reason: detail === '' ? rejectCodes[code] : `${rejectCodes[code]} ${detail}` }
}
