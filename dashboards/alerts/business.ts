/** What the events themselves say. */
import { type Alert, escalating } from './alert.ts'

export const business: readonly Alert[] = [
  ...escalating(
    {
      name: 'RejectsRatio',
      team: 'business',
      summary: '{{ $labels.consumer }}: {{ $value | humanizePercentage }} of the records are no valid events',
      description: 'They are kept with their bytes in the table rejects. Above 10 % replicas stop by themselves.',
    },
    { for: '1m', expr: 'millrace:rejects:ratio1m > 0.01' },
    { for: '1m', expr: 'millrace:rejects:ratio1m > 0.05' },
  ),
  ...escalating(
    {
      name: 'HighPaymentFailureRate',
      team: 'business',
      summary: '{{ $value | humanizePercentage }} of the payment events are failures',
      description: 'Usually fewer than one in ten. Customers cannot pay.',
    },
    {
      for: '5m',
      expr: 'bss:payment_failures:ratio10m > 0.2 and sum by (consumer) (rate(bss_payments_total[10m])) > 0.1',
    },
    {
      for: '2m',
      expr: 'bss:payment_failures:ratio10m > 0.4 and sum by (consumer) (rate(bss_payments_total[10m])) > 0.1',
    },
  ),
  ...escalating(
    {
      name: 'LowEventThroughput',
      team: 'business',
      summary: '{{ $labels.consumer }}: only {{ $value | humanize }} events a second come in',
      description: 'Less than a third of the hour before.',
    },
    {
      for: '5m',
      expr: `millrace:records:rate5m{room="consume"} < 0.3 * avg_over_time(millrace:records:rate5m{room="consume"}[1h] offset 10m)
and avg_over_time(millrace:records:rate5m{room="consume"}[1h] offset 10m) > 10`,
    },
    {
      for: '5m',
      expr: `millrace:records:rate5m{room="consume"} == 0
and avg_over_time(millrace:records:rate5m{room="consume"}[1h] offset 10m) > 10`,
      summary: '{{ $labels.consumer }}: no events come in',
      description: 'In the hour before there were some. Either the producers are silent, or they are not heard.',
    },
  ),
]
