import type { EventOptions } from "../../src/domain/door/options.ts";
import { EVENT_EXAMPLE } from "../../src/domain/example.ts";
import type { PaymentCompleted } from "../../src/types/payment.completed/event.ts";

/** The example of the README, with an id of its own. */
export function eventWith(id: string, options?: EventOptions, email = "an@example.com"): PaymentCompleted {
  const { booking, payment, customer } = EVENT_EXAMPLE.data;
  return {
    ...EVENT_EXAMPLE,
    id,
    data: {
      booking: { ...booking, id: `BK-${id}` },
      payment: { ...payment, id: `pay_${id}` },
      customer: { ...customer, email },
    },
    options,
  };
}

/** The same with fields of the team's own in its data. */
export function eventWithOwn(id: string, own: Record<string, unknown>): PaymentCompleted {
  const event = eventWith(id);
  return { ...event, data: { ...event.data, ...own } };
}
