import { describe, expect, test } from "bun:test";
import type { Event } from "../../src/domain/event.ts";
import { createRenderer, RenderError } from "../../src/mail/render.ts";
import { SHARED } from "../../src/mail/templates.ts";
import { EVENT_TYPES } from "../../src/types/eventTypes.ts";
import { paymentCompleted, paymentRefunded, withTemplate } from "./fixtures.ts";

const render = createRenderer({ from: "Sao Việt <ve@saoviet.example>" });

/** With the spaces that Intl puts into amounts made plain, as a reader sees them. */
const plain = (text: string) => text.replace(/\u00a0/g, " ");

describe("a completed payment", () => {
  test("in Vietnamese says who, what, when and how much", () => {
    const mail = render(paymentCompleted(), "msg_01");
    expect(mail.language).toBe("vi");
    expect(mail.to).toEqual({ address: "an@example.com", name: "Nguyễn Văn An" });
    expect(mail.subject).toBe("Đã nhận thanh toán: Hà Nội → Sa Pa, sleeper bus (BK-1042)");
    expect(plain(mail.text)).toBe(
      [
        "Xin chào Nguyễn Văn An,",
        "",
        "Chúng tôi đã nhận được khoản thanh toán 450.000 ₫ của quý khách.",
        "",
        "Mã đặt chỗ: BK-1042",
        "Dịch vụ: Hà Nội → Sa Pa, sleeper bus",
        "Thời gian: Thứ Ba, 1 tháng 12, 2026, 21:30 GMT+7",
        "Phương thức thanh toán: Thẻ",
        "Mã thanh toán: pay_88",
        "",
        "- Seat 4A × 1: 450.000 ₫",
        "Tổng đã thanh toán: 450.000 ₫",
        "",
        "Vui lòng giữ lại thư này và cho chúng tôi biết mã đặt chỗ khi liên hệ.",
        "",
        "-- ",
        "Sao Việt gửi thư này vì quý khách có đặt chỗ BK-1042. Thư được gửi tự động.",
        "",
      ].join("\n"),
    );
    expect(mail.html).toContain('<html lang="vi"');
    for (const shown of ["Nguyễn Văn An", "BK-1042", "Seat 4A × 1", "450.000 ₫", "21:30 GMT+7"]) {
      expect(plain(mail.html)).toContain(shown);
    }
  });

  test("in English shows several items in the currency's own digits", () => {
    const items = [
      { name: "Adult", quantity: 2, amount: 5000 },
      { name: "Child", quantity: 1, amount: 1299 },
    ];
    const event = paymentCompleted({
      booking: { items },
      payment: { amount: 6299, currency: "USD", method: "paypal" },
      customer: { locale: "en-US" },
    });
    const mail = render(event, "msg_01");
    expect(mail.language).toBe("en");
    expect(mail.text).toContain("- Adult × 2: $50.00\n- Child × 1: $12.99\nTotal paid: $62.99");
    expect(mail.text).toContain("Payment method: PayPal");
  });

  test("without a name, items, a start or a method leaves no holes", () => {
    const event = paymentCompleted({ customer: { locale: "en" } });
    delete event.data.customer.name;
    delete event.data.booking.items;
    delete event.data.booking.startsAt;
    delete event.data.payment.method;
    const mail = render(event, "msg_01");
    expect(mail.to).toEqual({ address: "an@example.com" });
    expect(mail.text).toStartWith("Hello,\n\nWe have received your payment of ₫450,000.\n\nBooking: BK-1042\n");
    expect(mail.text).not.toMatch(/Item|Date and time|Payment method|undefined|\n\n\n/);
    expect(mail.html).not.toMatch(/Item|Date and time|Payment method|undefined/);
  });
});

describe("a refund", () => {
  test("of a part says what is given back, what was paid and why", () => {
    const refund = { amount: 200000, id: "re_5", reason: "Bus cancelled" };
    const mail = render(paymentRefunded(refund, { customer: { locale: "en" } }), "msg_02");
    expect(mail.subject).toBe("Refund: Hà Nội → Sa Pa, sleeper bus (BK-1042)");
    expect(mail.text).toContain("We have refunded ₫200,000 to you.");
    expect(mail.text).toContain(
      "Refund reference: re_5\nReason: Bus cancelled\n\nYou had paid: ₫450,000\nRefunded: ₫200,000\n",
    );
    expect(mail.html).toContain("Bus cancelled");
  });

  test("without details is of the whole payment", () => {
    const mail = render(paymentRefunded(undefined), "msg_02");
    expect(plain(mail.text)).toContain("Chúng tôi đã hoàn 450.000 ₫ cho quý khách.");
    expect(mail.text).not.toMatch(/Lý do|Mã hoàn tiền/);
  });
});

describe("the language", () => {
  test.each([
    ["vi-VN", "vi", "Thứ Ba, 1 tháng 12, 2026"],
    ["en-GB", "en", "Tuesday, 1 December 2026"],
    ["en-u-nu-arab", "en", "Tuesday, December 1, 2026"],
    ["fr-CA", "en", "Tuesday, December 1, 2026"],
    [undefined, "en", "Tuesday, December 1, 2026"],
  ])("of %p is %s, with dates as %s", (locale, language, date) => {
    const event = paymentCompleted();
    if (locale === undefined) delete event.data.customer.locale;
    else event.data.customer.locale = locale;
    const mail = render(event, "msg_01");
    expect(mail.language).toBe(language);
    expect(mail.text).toContain(date);
  });

  test("has the same phrases and placeholders everywhere", () => {
    const shape = (value: unknown): unknown =>
      typeof value === "string"
        ? [...value.matchAll(/\{\w+\}/g)].map(([name]) => name).sort()
        : Object.fromEntries(Object.entries(value as object).map(([key, child]) => [key, shape(child)]));
    const sets = [SHARED.wording, ...[...EVENT_TYPES.values()].map(({ wording }) => wording)];
    for (const set of sets) {
      expect(Object.keys(set).sort()).toEqual(Object.keys(SHARED.wording).sort());
      for (const wording of Object.values(set)) expect(shape(wording)).toEqual(shape(set["en"]));
    }
  });

  test("has no empty word in a mail of any type", () => {
    for (const type of EVENT_TYPES.keys()) {
      for (const locale of Object.keys(SHARED.wording)) {
        const mail = render({ ...paymentCompleted({ customer: { locale } }), type } as Event, "msg_01");
        expect(mail.text + mail.html).not.toMatch(/undefined|NaN|\[object|\{\w+\}/);
      }
    }
  });
});

describe("what a producer or a customer wrote", () => {
  const evil = `<script>alert("x")</script>&'`;
  const event = paymentRefunded(
    { amount: 1, reason: evil },
    {
      booking: { title: evil, items: [{ name: evil, quantity: 1, amount: 1 }] },
      customer: { name: evil, locale: "en" },
    },
  );

  test("is escaped in HTML", () => {
    for (const mail of [render(event, "msg_01"), render({ ...event, type: "payment.completed" } as Event, "msg_01")]) {
      expect(mail.html).not.toContain("<script");
      expect(mail.html).toContain("&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;&amp;&#x27;");
    }
  });

  test("is left as it is in text", () => {
    const mail = render(event, "msg_01");
    expect(mail.text).toContain(`Hello ${evil},`);
    expect(mail.subject).toBe(`Refund: ${evil} (BK-1042)`);
  });

  test("is never taken for a placeholder or a template", () => {
    const title = "{amount} {{sender}} $&";
    const mail = render(paymentCompleted({ booking: { title }, customer: { locale: "en" } }), "msg_01");
    expect(mail.text).toContain(`For: ${title}`);
    expect(mail.subject).toContain(title);
  });

  test("cannot break the subject into another header", () => {
    const mail = render(paymentCompleted({ booking: { title: "a\r\nBcc: x@example.com" } }), "msg_01");
    expect(mail.subject).not.toMatch(/[\r\n]/);
  });

  test("may be a payment method that is also a word of JavaScript: a machine's word without a phrase has no line", () => {
    const mail = render(paymentCompleted({ payment: { method: "constructor" }, customer: { locale: "en" } }), "msg_01");
    expect(mail.text + mail.html).not.toMatch(/Payment method|constructor/);
  });
});

describe("the Message-ID", () => {
  test("is the message's id at the sender's domain, the same each time", () => {
    const ids = [1, 2].map(() => render(paymentCompleted(), "msg_01").messageIdHeader);
    expect(ids).toEqual(["msg_01@saoviet.example", "msg_01@saoviet.example"]);
  });
});

describe("a mail that cannot be rendered", () => {
  test("is a RenderError for a type without a template", () => {
    const event = { ...paymentCompleted(), type: "booking.moved" } as unknown as Event;
    expect(() => render(event, "msg_01")).toThrow(new RenderError("booking.moved: there is no template for it"));
  });

  test("is a RenderError with its cause when the template fails", () => {
    const types = withTemplate("payment.completed", { html: '{{t "nothing"}}' });
    const broken = createRenderer({ from: "a@example.com", types });
    try {
      broken(paymentCompleted(), "msg_01");
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(RenderError);
      expect((error as Error).message).toContain('no phrase "nothing" in the wording of "vi"');
      expect((error as Error).cause).toBeInstanceOf(Error);
    }
  });

  test("is found at the start when a template has a syntax error", () => {
    const types = withTemplate("payment.completed", { html: "{{#if name}}" });
    expect(() => createRenderer({ from: "a@example.com", types })).toThrow(/template payment.completed is not valid/);
  });
});

test("a team's template sees the fields that the producer added", () => {
  const text = "Gate {{data.booking.gate}}{{#if data.booking.lounge}}, lounge{{/if}}";
  const custom = createRenderer({ from: "a@example.com", types: withTemplate("payment.completed", { text }) });
  expect(custom(paymentCompleted({ booking: { gate: "B7" } }), "msg_01").text).toBe("Gate B7");
});
