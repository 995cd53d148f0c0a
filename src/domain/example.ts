import type { Event, PaidData } from "./event.ts";

/** The event that the documents show. */
export const EVENT_EXAMPLE = {
  id: "evt_7Q2",
  type: "payment.completed",
  occurredAt: "2026-11-24T09:30:00Z",
  data: {
    booking: {
      id: "BK-1042",
      title: "Hà Nội → Sa Pa, sleeper bus",
      startsAt: "2026-12-01T21:30:00+07:00",
      items: [{ name: "Seat 4A", quantity: 1, amount: 450_000 }],
    },
    payment: { id: "pay_88", amount: 450_000, currency: "VND", method: "card" },
    customer: { email: "an@example.com", name: "Nguyễn Văn An", locale: "vi" },
  },
  options: { delayMs: 10_000, priority: "critical", hold: false },
} satisfies Event<"payment.completed", PaidData>;
