import type { Notice } from "../../src/domain/notice.ts";

/** What the session of a payment says, as long as nobody has paid. */
export function sessionNotice(paymentId: string, more: Partial<Notice> = {}): Notice {
  return {
    eventId: `stripe_${paymentId}`,
    paymentId,
    isFirstHand: true,
    expectsMore: false,
    isTest: false,
    addresses: ["an@example.com"],
    names: ["Nguyễn Văn An"],
    locales: ["vi"],
    bookingIds: [`BK ${paymentId}`],
    titles: ["Sleeper bus"],
    descriptions: [],
    startsAt: ["2026-12-01T21:30:00+07:00"],
    ...more,
  };
}

/** What its charge says when it is captured: the money, and where the bill went. */
export function captureNotice(paymentId: string, more: Partial<Notice> = {}): Notice {
  return {
    eventId: `stripe_${paymentId}`,
    paymentId,
    isFirstHand: false,
    expectsMore: true,
    paid: { amount: 300_000, currency: "VND", method: "card", at: "2026-11-24T09:30:00.000Z" },
    isTest: false,
    addresses: ["billing@example.com"],
    names: ["NGUYEN VAN AN"],
    locales: [],
    bookingIds: [],
    titles: [],
    descriptions: ["Charge for a bus"],
    startsAt: [],
    ...more,
  };
}
