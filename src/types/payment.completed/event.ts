/* The customer has paid. */
import type { Event, PaidData } from "../../domain/event.ts";
import { eventType } from "../eventType.ts";
import { PAID } from "../records.ts";
import en from "./en.json";
import html from "./html.hbs" with { type: "text" };
import text from "./text.hbs" with { type: "text" };
import defaults from "./type.json";
import vi from "./vi.json";
import { view } from "./view.ts";

export type PaymentCompleted = Event<"payment.completed", PaidData>;

export const paymentCompleted = eventType({
  name: "payment.completed",
  ...defaults,
  ...PAID,
  view,
  html,
  text,
  wording: { en, vi },
});
