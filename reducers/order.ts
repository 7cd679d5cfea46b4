/** What an order is, from its com.bss.order.* events. */
import { defineReducer, fieldsOf, type Json } from '../src/define.ts'

type Order = {
  readonly id: string
  readonly status: 'open' | 'fulfilled' | 'cancelled'
  readonly customer: Json
  readonly channel: Json
  readonly amount: Json
  readonly currency: Json
  readonly lines: Json
  readonly createdAt: string | null
  readonly changedAt: string
  /** When it was fulfilled or cancelled. */
  readonly closedAt: string | null
  readonly changes: number
}

export default defineReducer<Order>({
  subjects: ['ord_'],
  reduce(state, { type, subject, time, data }) {
    const [, , domain, verb] = type.split('.')
    if (domain !== 'order') return state
    const { customerId, channel, amount, currency, lines } = fieldsOf(data)
    const order: Order = {
      id: subject,
      status: state?.status ?? 'open',
      customer: customerId ?? state?.customer ?? null,
      channel: channel ?? state?.channel ?? null,
      amount: amount ?? state?.amount ?? null,
      currency: currency ?? state?.currency ?? null,
      lines: lines ?? state?.lines ?? [],
      createdAt: state?.createdAt ?? null,
      changedAt: time,
      closedAt: state?.closedAt ?? null,
      changes: (state?.changes ?? 0) + 1,
    }
    switch (verb) {
      case 'created':
        return { ...order, status: 'open', createdAt: time, closedAt: null }
      case 'updated':
        return order
      case 'fulfilled':
      case 'cancelled':
        return { ...order, status: verb, closedAt: time }
      default:
        return state
    }
  },
})
