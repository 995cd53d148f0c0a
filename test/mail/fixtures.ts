import { EVENT_EXAMPLE } from "../../src/domain/example.ts";
import type { Mail } from "../../src/mail/mailer.ts";
import { EVENT_TYPES, type EventTypes } from "../../src/types/eventTypes.ts";
import type { PaymentCompleted } from "../../src/types/payment.completed/event.ts";
import type { PaymentRefunded } from "../../src/types/payment.refunded/event.ts";

type Data = PaymentCompleted["data"];

interface Changes {
  booking?: Partial<Data["booking"]>;
  payment?: Partial<Data["payment"]>;
  customer?: Partial<Data["customer"]>;
}

/** The event of the README, with what a test is about changed. */
export function paymentCompleted({ booking, payment, customer }: Changes = {}): PaymentCompleted {
  const { options, ...event } = EVENT_EXAMPLE;
  const data = {
    booking: { ...event.data.booking, ...booking },
    payment: { ...event.data.payment, ...payment },
    customer: { ...event.data.customer, ...customer },
  };
  return { ...event, data };
}

export function paymentRefunded(
  refund: { amount: number; id?: string; reason?: string } | undefined,
  changes: Changes = {},
): PaymentRefunded {
  const { data } = paymentCompleted(changes);
  return { id: "evt_7Q3", type: "payment.refunded", data: refund === undefined ? data : { ...data, refund } };
}

/** The built-in types, with templates of a test's own in one of them. */
export function withTemplate(name: string, own: { html?: string; text?: string }): EventTypes {
  const type = EVENT_TYPES.get(name);
  if (type === undefined) throw new Error(`no type ${name}`);
  return new Map([...EVENT_TYPES, [name, { ...type, ...own }]]);
}

export const MAIL: Mail = {
  messageIdHeader: "msg_01@example.com",
  to: { address: "an@example.com", name: "Nguyễn Văn An" },
  subject: "Đã nhận thanh toán: Hà Nội → Sa Pa (BK-1042)",
  text: "Xin chào Nguyễn Văn An,\n\n.một dòng bắt đầu bằng dấu chấm\n",
  html: "<p>Xin chào <b>Nguyễn Văn An</b></p>\n",
  language: "vi",
};
