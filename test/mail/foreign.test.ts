/* What others wrote, in a whole mail: its direction, its links, and what it may not start. */
import { describe, expect, test } from "bun:test";
import type { Event } from "../../src/domain/event.ts";
import { createRenderer } from "../../src/mail/render.ts";
import { paymentCompleted, paymentRefunded, withTemplate } from "./fixtures.ts";

const render = createRenderer({ from: "Sao Việt <ve@saoviet.example>" });
const english = { customer: { locale: "en" } };

describe("text from right to left", () => {
  const title = "אוטובוס לילה";
  const name = "مقعد";

  test("stands isolated in subject, text and HTML: the number stays in its brackets", () => {
    const mail = render(paymentCompleted({ booking: { id: "1042", title }, ...english }), "msg_01");
    expect(mail.subject).toBe(`Payment received: \u2068${title}\u2069 (1042)`);
    expect(mail.text).toContain(`\nFor: \u2068${title}\u2069\n`);
    expect(mail.html).toContain(`<bdi>${title}</bdi>`);
    expect(mail.html.split("<body")[1]).not.toMatch(/[\u2066-\u2069]/);
  });

  test("of an item: quantity and amount stay behind it, a minus before its amount", () => {
    const items = [
      { name, quantity: 2, amount: 500_000 },
      { name, quantity: 1, amount: -50_000 },
    ];
    const mail = render(paymentCompleted({ booking: { items }, ...english }), "msg_01");
    expect(mail.text).toContain(
      `- \u2068${name}\u2069 × 2: \u2066₫500,000\u2069\n- \u2068${name}\u2069 × 1: \u2066-₫50,000\u2069\n`,
    );
    expect(mail.html).toContain(`<bdi>${name}</bdi> × 2`);
    expect(mail.html).toContain('<bdi dir="ltr">-₫50,000</bdi>');
  });

  test("is also an override that an older event has: it turns nothing", () => {
    const mail = render(paymentCompleted({ customer: { name: "\u202enA nễyugN", locale: "en" } }), "msg_01");
    expect(mail.to.name).toBe("nA nễyugN");
    expect(mail.text).toStartWith("Hello nA nễyugN,\n");
    expect(mail.subject + mail.text + mail.html).not.toMatch(/[\u202a-\u202e\u2066-\u2069]/);
  });

  test("is escaped as all text is", () => {
    const mail = render(paymentCompleted({ booking: { title: `${title} <b>&` }, ...english }), "msg_01");
    expect(mail.html).toContain(`<bdi>${title} &lt;b&gt;&amp;</bdi>`);
  });

  test("of the sender is isolated, too", () => {
    const hebrew = createRenderer({ from: `"${title}" <a@example.com>` });
    expect(hebrew(paymentCompleted(english), "msg_01").text).toContain(`\n\u2068${title}\u2069 sent you this mail`);
  });

  test("is all that is isolated", () => {
    for (const event of [paymentCompleted(), paymentRefunded({ amount: 1, id: "re_5", reason: "Đổi vé" })]) {
      const { subject, text, html } = render(event, "msg_01");
      expect(subject + text + html).not.toMatch(/[\u2060-\u2069]|<bdi/);
    }
  });
});

describe("foreign text with a link in it", () => {
  const link = "https://www.promo.example/x";

  test("is no link in any place of either mail", () => {
    const booking = { id: link, title: link, items: [{ name: link, quantity: 1, amount: 1 }] };
    const changes = { booking, payment: { id: link, method: `Card ${link}` }, customer: { name: link, locale: "en" } };
    for (const event of [paymentCompleted(changes), paymentRefunded({ amount: 1, id: link, reason: link }, changes)]) {
      const mail = render(event, "msg_01");
      expect(mail.subject + mail.text + mail.html).not.toMatch(/https?:|www\.|promo\.example/);
      expect(mail.subject + mail.text + mail.html).toMatch(/promo\u2060\.\u2060example/);
      expect(mail.text).toStartWith("Hello,\n");
      expect(mail.to).toEqual({ address: "an@example.com" });
    }
  });

  test("in a name that may be one is broken up: the person is greeted all the same", () => {
    const mail = render(paymentCompleted({ customer: { name: "Dr.Vu", locale: "en" } }), "msg_01");
    expect(mail.text).toStartWith("Hello Dr\u2060.\u2060Vu,\n");
    expect(mail.to.name).toBe("Dr.Vu");
  });

  test("is as it came where a team's template reads the event", () => {
    const types = withTemplate("payment.completed", { text: "{{data.booking.title}}" });
    const own = createRenderer({ from: "a@example.com", types });
    expect(own(paymentCompleted({ booking: { title: link } }), "msg_01").text).toBe(link);
  });

  test("our own mails have no address of the web at all", () => {
    for (const type of ["payment.completed", "payment.refunded"]) {
      const { subject, text, html } = render({ ...paymentCompleted(), type } as Event, "msg_01");
      expect(subject + text + html).not.toMatch(/https?:|href|src=/);
    }
  });
});

test("an event of an older version brings no line break and no control character anywhere", () => {
  const bad = "a\r\nBcc: x@example.com\u2028b\u0000c";
  const changes = {
    booking: { id: bad, title: bad, items: [{ name: bad, quantity: 1, amount: 1 }] },
    payment: { id: bad, method: bad },
    customer: { name: bad, locale: "en" },
  };
  const mail = render(paymentRefunded({ amount: 1, id: bad, reason: bad }, changes), "msg_01");
  expect(mail.subject).toBe(
    "Refund: a Bcc: x\u2060@\u2060example\u2060.\u2060com b c (a Bcc: x\u2060@\u2060example\u2060.\u2060com b c)",
  );
  for (const sign of ["\r", "\u0000", "\u2028", "\nBcc"]) expect(mail.text + mail.html).not.toContain(sign);
  expect(mail.to).toEqual({ address: "an@example.com" });
});
