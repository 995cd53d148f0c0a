/* Mails of events that have little, or a lot, or nothing to pay. */
import { describe, expect, test } from "bun:test";
import type { Event } from "../../src/domain/event.ts";
import { createRenderer } from "../../src/mail/render.ts";
import { paymentCompleted, paymentRefunded } from "./fixtures.ts";

const render = createRenderer({ from: "Sao Việt <ve@saoviet.example>" });
const english = { customer: { locale: "en" } };
const plain = (text: string) => text.replace(/\u00a0/g, " ");

function least(type: string, payment: object, locale = "en"): Event {
  return { id: "e", type, data: { booking: {}, payment, customer: { email: "an@example.com", locale } } } as Event;
}

describe("an event with nothing but what it must have", () => {
  test("is confirmed without a sum, as its currency is not known", () => {
    const mail = render(least("payment.completed", { amount: 450_000 }), "msg_01");
    expect(mail.subject).toBe("Payment received");
    expect(mail.text).toBe(
      [
        "Hello,",
        "",
        "We have received your payment.",
        "",
        "Please keep this mail and have it at hand when you contact us.",
        "",
        "-- ",
        "Sao Việt sent you this mail. It was sent automatically.",
        "",
      ].join("\n"),
    );
    expect(mail.html).not.toMatch(/450|<table[^>]*>\s*<\/table>|<td[^>]*><\/td>/);
  });

  test.each([
    ["payment.completed", "vi", "Đã nhận thanh toán", "Chúng tôi đã nhận được khoản thanh toán của quý khách."],
    ["payment.refunded", "en", "Refund", "We have made a refund to you."],
    ["payment.refunded", "vi", "Hoàn tiền", "Chúng tôi đã hoàn tiền cho quý khách."],
  ])("%s in %s has the subject %s", (type, locale, subject, sentence) => {
    const mail = render(least(type, { amount: 450_000 }, locale), "msg_01");
    expect(mail.subject).toBe(subject);
    expect(mail.text).toContain(sentence);
    expect(mail.html).toContain(sentence);
    expect(mail.text).not.toMatch(/\n\n\n| {2}/);
    expect(mail.text + mail.html).not.toMatch(/450|undefined|null|\(\)|<table[^>]*>\s*<\/table>/);
  });
});

describe("the subject", () => {
  test.each([
    [{ title: "Bus", id: "BK-1" }, "Payment received: Bus (BK-1)"],
    [{ title: "Bus" }, "Payment received: Bus"],
    [{ id: "BK-1" }, "Payment received (BK-1)"],
    [{ id: " ", title: "\u202e" }, "Payment received"],
  ])("of %p is %s", (booking, subject) => {
    const event = least("payment.completed", { amount: 1 });
    event.data.booking = booking;
    expect(render(event, "msg_01").subject).toBe(subject);
  });
});

describe("an amount of 0", () => {
  test.each(["en", "vi"])("is no payment that was received, in %s", (locale) => {
    const event = paymentCompleted({ payment: { amount: 0 }, customer: { locale } });
    const mail = render(event, "msg_01");
    const all = mail.subject + mail.text + mail.html;
    expect(all).not.toMatch(
      /received|Thank you|Total paid|Đã nhận|đã nhận|Cảm ơn|Tổng đã thanh toán|Payment method|Thẻ/,
    );
    expect(mail.subject).toMatch(/^(?:Confirmation|Xác nhận): Hà Nội → Sa Pa, sleeper bus \(BK-1042\)$/);
    expect(mail.text).toMatch(/There was nothing to pay|không cần thanh toán khoản nào/);
  });

  test("is not refunded either", () => {
    for (const event of [
      paymentRefunded({ amount: 0 }, english),
      paymentRefunded(undefined, { ...english, payment: { amount: 0 } }),
    ]) {
      const mail = render(event, "msg_01");
      expect(mail.text).toContain("There was nothing to refund.");
      expect(mail.subject + mail.text + mail.html).not.toMatch(/on its way|We have refunded|working days/);
    }
  });

  test("says so without a currency, too", () => {
    const mail = render(least("payment.completed", { amount: 0 }), "msg_01");
    expect(mail.text).toContain("There was nothing to pay.");
    expect(mail.text).not.toMatch(/\d/);
  });
});

describe("items", () => {
  const itemsOf = (items: Event["data"]["booking"]["items"], locale = "en") =>
    plain(render(paymentCompleted({ booking: { items }, customer: { locale } }), "msg_01").text);

  test.each([
    [1.5, "en", "× 1.5"],
    [1.5, "vi", "× 1,5"],
    [0.125, "en", "× 0.125"],
    [1000, "en", "× 1,000"],
    [0.1 + 0.2, "en", "× 0.3"],
  ])("%p of one in %s are written %s", (quantity, locale, shown) => {
    expect(itemsOf([{ name: "Fabric, metre", quantity, amount: 90_000 }], locale)).toContain(
      `- Fabric, metre ${shown}: `,
    );
  });

  test("without a quantity, an amount, or both have what is left", () => {
    const items = [{ name: "A" }, { name: "B", quantity: 2 }, { name: "C", amount: 5 }, { name: "D", amount: 0 }];
    expect(itemsOf(items)).toContain("\n- A\n- B × 2\n- C: ₫5\n- D: ₫0\nTotal paid:");
  });

  test("that are discounts have a minus, and add up to the total", () => {
    const items = [
      { name: "Seat", quantity: 1, amount: 450_000 },
      { name: "Loyalty discount", quantity: 1, amount: -50_000 },
    ];
    expect(itemsOf(items)).toContain("- Loyalty discount × 1: -₫50,000\n");
    expect(itemsOf(items, "vi")).toContain("- Loyalty discount × 1: -50.000 ₫\n");
  });

  test.each([
    [50, "en", undefined],
    [51, "en", "and 1 more item"],
    [112, "en", "and 62 more items"],
    [1112, "en", "and 1,062 more items"],
    [112, "vi", "và 62 mục khác"],
  ])("that are %d: 50 are shown, then in %s: %s", (count, locale, more) => {
    const items = Array.from({ length: count }, (_, i) => ({ name: `Seat ${i + 1}.`, quantity: 1, amount: 1 }));
    const mail = render(paymentCompleted({ booking: { items }, customer: { locale } }), "msg_01");
    for (const part of [mail.text, mail.html]) {
      expect(part).toContain("Seat 50. × 1");
      expect(part).not.toContain("Seat 51. × 1");
      expect(plain(part)).toContain(locale === "vi" ? "450.000 ₫" : "₫450,000");
      if (more !== undefined) expect(part).toContain(more);
    }
    if (more === undefined) expect(mail.text).not.toContain("more");
    else expect(mail.text).toContain(`\n- ${more}\n`);
  });
});

describe("when it begins", () => {
  test.each([
    ["2026-12-01", "Date: Tuesday, December 1, 2026\n"],
    ["2026-12-01T21:30", "Date and time: Tuesday, December 1, 2026, 21:30\n"],
    ["2026-12-01T21:30:15.250", "Date and time: Tuesday, December 1, 2026, 21:30\n"],
    ["2026-12-01T00:00:00+07:00", "Date and time: Tuesday, December 1, 2026, 00:00 GMT+7\n"],
    ["2026-12-01T21:30-03:30", "Date and time: Tuesday, December 1, 2026, 21:30 GMT-3:30\n"],
    ["2026-12-01T21:30Z", "Date and time: Tuesday, December 1, 2026, 21:30 GMT+0\n"],
  ])("%s is shown as it was meant: %s", (startsAt, line) => {
    expect(render(paymentCompleted({ booking: { startsAt }, ...english }), "msg_01").text).toContain(line);
  });
});
