import type { Event } from "../../src/domain/event.ts";
import { EVENT_EXAMPLE } from "../../src/domain/example.ts";
import type { Mail } from "../../src/mail/mailer.ts";

type Data = Event["data"];

interface Changes {
  booking?: Partial<Data["booking"]>;
  payment?: Partial<Data["payment"]>;
  customer?: Partial<Data["customer"]>;
}

/** The event of the README, with what a test is about changed. */
export function paymentCompleted({ booking, payment, customer }: Changes = {}): Event {
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
): Event {
  const { data } = paymentCompleted(changes);
  return { id: "evt_7Q3", type: "payment.refunded", data: refund === undefined ? data : { ...data, refund } };
}

export const MAIL: Mail = {
  messageIdHeader: "msg_01@example.com",
  to: { address: "an@example.com", name: "Nguyễn Văn An" },
  subject: "Đã nhận thanh toán: Hà Nội → Sa Pa (BK-1042)",
  text: "Xin chào Nguyễn Văn An,\n\n.một dòng bắt đầu bằng dấu chấm\n",
  html: "<p>Xin chào <b>Nguyễn Văn An</b></p>\n",
  language: "vi",
};
