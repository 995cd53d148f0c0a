import type { Event } from "../../src/domain/event.ts";
import { EVENT_EXAMPLE } from "../../src/domain/example.ts";

/** The example of the README, with an id of its own. */
export function eventWith(id: string, options?: Event["options"], email = "an@example.com"): Event {
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
export function eventWithOwn(id: string, own: Record<string, unknown>): Event {
  const event = eventWith(id);
  return { ...event, data: { ...event.data, ...own } };
}
