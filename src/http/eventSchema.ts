/* An event in the OpenAPI document: one schema per type, told apart by `type`. */
import { z } from "zod";
import { EVENT_TYPES } from "../domain/event.ts";

const eventSchemas = [...EVENT_TYPES].map(([type, { schema }]) => schema.meta({ id: schemaName(type) }));

/** Every schema is an object with its literal `type`; the registry's element type does not say so. */
export const event = z
  .discriminatedUnion("type", eventSchemas as unknown as [z.ZodObject, ...z.ZodObject[]])
  .meta({ id: "Event" });

export const EVENT_EXAMPLE = {
  id: "evt_7Q2",
  type: "payment.completed",
  occurredAt: "2026-11-24T09:30:00Z",
  data: {
    booking: {
      id: "BK-1042",
      title: "Hà Nội → Sa Pa, sleeper bus",
      startsAt: "2026-12-01T21:30:00+07:00",
      items: [{ name: "Seat 4A", quantity: 1, amount: 450000 }],
    },
    payment: { id: "pay_88", amount: 450000, currency: "VND", method: "card" },
    customer: { email: "an@example.com", name: "Nguyễn Văn An", locale: "vi" },
  },
  options: { delayMs: 10000, priority: "critical" },
};

/** "payment.completed" is PaymentCompleted. */
function schemaName(type: string): string {
  return type.replace(/(?:^|\.)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
