/** What a customer is, from its com.bss.customer.* events. */
import { defineReducer, fieldsOf, type Json } from '../src/define.ts'

type Customer = {
  readonly id: string
  readonly name: Json
  readonly email: Json
  readonly language: Json
  readonly address: Json
  readonly segment: Json
  readonly marketing: boolean
  readonly verified: boolean
  readonly registeredAt: string | null
  readonly changedAt: string
  readonly changes: number
}

export default defineReducer<Customer>({
  subjects: ['cus_'],
  reduce(state, { type, subject, time, data }) {
    const [, , domain, verb] = type.split('.')
    if (domain !== 'customer') return state
    const { name, email, language, address, segment, marketing } = fieldsOf(data)
    const customer: Customer = {
      id: subject,
      name: name ?? state?.name ?? null,
      email: email ?? state?.email ?? null,
      language: language ?? state?.language ?? null,
      address: address ?? state?.address ?? null,
      segment: segment ?? state?.segment ?? null,
      marketing: typeof marketing === 'boolean' ? marketing : (state?.marketing ?? false),
      verified: state?.verified ?? false,
      registeredAt: state?.registeredAt ?? null,
      changedAt: time,
      changes: (state?.changes ?? 0) + 1,
    }
    switch (verb) {
      case 'registered':
        return { ...customer, registeredAt: time }
      case 'updated':
        return customer
      case 'verified':
        return { ...customer, verified: true }
      default:
        return state
    }
  },
})
