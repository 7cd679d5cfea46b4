/** What a subscription is, from its com.bss.subscription.* events, and what was used of it, from com.bss.usage.*. */
import { defineReducer, fieldsOf, type Json } from '../src/define.ts'

type Subscription = {
  readonly id: string
  readonly status: 'unknown' | 'active' | 'cancelled'
  readonly customer: Json
  readonly plan: Json
  readonly term: Json
  readonly autoRenew: Json
  readonly price: Json
  readonly currency: Json
  readonly activatedAt: string | null
  readonly renewedAt: string | null
  readonly cancelledAt: string | null
  /** What was recorded, by meter. */
  readonly used: { readonly [meter: string]: number }
  /** What was rated, in hundredths, by currency: sums of hundredths have no rounding of their own. */
  readonly rated: { readonly [currency: string]: number }
  readonly thresholdPercent: Json
  readonly changedAt: string
  readonly changes: number
}

const add = (sums: { readonly [name: string]: number }, name: Json | undefined, more: number) =>
  typeof name === 'string' && Number.isFinite(more) ? { ...sums, [name]: (sums[name] ?? 0) + more } : sums

export default defineReducer<Subscription>({
  subjects: ['sub_'],
  reduce(state, { type, subject, time, data }) {
    const [, , domain, verb] = type.split('.')
    const fields = fieldsOf(data)
    const before: Subscription = {
      id: subject,
      status: state?.status ?? 'unknown',
      customer: fields.customerId ?? state?.customer ?? null,
      plan: state?.plan ?? null,
      term: state?.term ?? null,
      autoRenew: state?.autoRenew ?? null,
      price: state?.price ?? null,
      currency: state?.currency ?? null,
      activatedAt: state?.activatedAt ?? null,
      renewedAt: state?.renewedAt ?? null,
      cancelledAt: state?.cancelledAt ?? null,
      used: state?.used ?? {},
      rated: state?.rated ?? {},
      thresholdPercent: state?.thresholdPercent ?? null,
      changedAt: time,
      changes: (state?.changes ?? 0) + 1,
    }
    if (domain === 'usage') {
      const { meter, quantity, amount, currency, thresholdPercent } = fields
      switch (verb) {
        case 'recorded':
          return { ...before, used: add(before.used, meter, Number(quantity)) }
        case 'rated':
          return { ...before, rated: add(before.rated, currency, Math.round(Number(amount) * 100)) }
        case 'threshold-reached':
          return { ...before, thresholdPercent: thresholdPercent ?? null }
        default:
          return state
      }
    }
    if (domain !== 'subscription') return state
    const { plan, term, autoRenew, price, currency } = fields
    const contract: Subscription = {
      ...before,
      plan: plan ?? before.plan,
      term: term ?? before.term,
      autoRenew: autoRenew ?? before.autoRenew,
      price: price ?? before.price,
      currency: currency ?? before.currency,
    }
    switch (verb) {
      case 'activated':
        return { ...contract, status: 'active', activatedAt: time, cancelledAt: null }
      case 'renewed':
        return { ...contract, status: 'active', renewedAt: time }
      case 'upgraded':
        return contract
      case 'cancelled':
        return { ...contract, status: 'cancelled', cancelledAt: time }
      default:
        return state
    }
  },
})
