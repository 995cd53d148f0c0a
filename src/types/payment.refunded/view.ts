import type { PaidData } from "../../domain/event.ts";
import type { Show, View } from "../eventType.ts";

interface Refund {
  id?: string | undefined;
  /** The payment's where it is not said. */
  amount?: number | undefined;
  reason?: string | undefined;
  [field: string]: unknown;
}

export type RefundData = PaidData & { refund?: Refund | undefined };

export function view({ payment, refund }: RefundData, show: Show): View {
  const amount = refund?.amount ?? payment.amount;
  const [id, reason] = [show.id(refund?.id), show.text(refund?.reason)];
  return {
    amount,
    variant: amount === 0 ? "nothingPaid" : undefined,
    facts: [
      ["refund", id],
      ["reason", reason],
    ],
    names: { refund: { id, reason, amount: show.money(refund?.amount) } },
  };
}
