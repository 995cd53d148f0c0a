import type { PaidData } from "../../domain/event.ts";
import type { View } from "../eventType.ts";

export function view({ payment: { amount } }: PaidData): View {
  // Nobody is thanked for a payment of nothing.
  return { amount, variant: amount === 0 ? "nothingPaid" : undefined };
}
