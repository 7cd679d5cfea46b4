/** What the events say about the business: counted once for each stored event, whatever crashed meanwhile. */
import { type Board, figure, lines, row, stacked } from '../board.ts'
import { of, quantiles, rate, sum } from '../queries.ts'

const byState = (what: string): [string, string][] => [[sum(rate(`bss_${what}_total`), 'state'), '{{state}}']]

export const bssOverview: Board = {
  uid: 'millrace-bss-overview',
  title: 'Millrace: business',
  description: 'Events by component and type, orders, payments, invoices, and errors.',
  rows: [
    row(
      4,
      figure('Events a second', 'ops', [[sum(of('bss_current_event_rate')), 'events']]),
      figure('Events today', 'short', [[`sum(increase(${of('bss_events_total')}[24h]))`, 'events']]),
      figure(
        'Payment failures',
        'percentunit',
        [['max(bss:payment_failures:ratio10m{consumer=~"$consumer"})', 'share']],
        {
          limits: [0.2, 0.4],
        },
      ),
      figure('Errors a second', 'ops', [[sum(rate('bss_errors_total')), 'errors']]),
    ),
    row(
      8,
      stacked('events/s by component', 'ops', [
        [sum(rate('bss_events_by_component_total'), 'component'), '{{component}}'],
      ]),
      lines('events/s by type', 'ops', [[`topk(12, ${sum(rate('bss_events_by_type_total'), 'type')})`, '{{type}}']]),
    ),
    row(
      8,
      stacked('orders/s', 'ops', byState('orders')),
      stacked('payments/s', 'ops', byState('payments')),
      stacked('invoices/s', 'ops', byState('invoices')),
    ),
    row(
      8,
      lines('errors/s by component', 'ops', [[sum(rate('bss_errors_total'), 'component'), '{{component}}']]),
      lines('taken in to stored', 's', quantiles('bss_event_processing_duration_seconds')),
      lines('size of an event', 'bytes', [
        [`${sum(rate('bss_event_size_bytes_sum'))} / ${sum(rate('bss_event_size_bytes_count'))}`, 'mean'],
        [`max by (quantile) (${of('bss_event_size_bytes')})`, 'p{{quantile}}'],
      ]),
    ),
  ],
}
