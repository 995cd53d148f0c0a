import type { Event } from "../../src/domain/event.ts";

/** The example of the README, with an id of its own. */
export function eventWith(id: string, options?: Event["options"], email = "an@example.com"): Event {
  return {
    id,
    type: "payment.completed",
    occurredAt: "2026-11-24T09:30:00Z",
    data: {
      booking: {
        id: `BK-${id}`,
        title: "Hà Nội → Sa Pa, sleeper bus",
        startsAt: "2026-12-01T21:30:00+07:00",
        items: [{ name: "Seat 4A", quantity: 1, amount: 450_000 }],
      },
      payment: { id: `pay_${id}`, amount: 450_000, currency: "VND", method: "card" },
      customer: { email, name: "Nguyễn Văn An", locale: "vi" },
    },
    ...(options === undefined ? {} : { options }),
  };
}
