/* A type that is in no list: what is declared in one place is all that the door and the mail know of it. */
import { describe, expect, test } from "bun:test";
import type { Event } from "../../src/domain/event.ts";
import { createRenderer } from "../../src/mail/render.ts";
import { type EventType, eventType } from "../../src/types/eventType.ts";
import { EVENT_TYPES } from "../../src/types/eventTypes.ts";
import { parseEvent } from "../../src/types/parse.ts";
import { RECORDS } from "../../src/types/records.ts";

const EN = { subject: "Moved: {title}", "subject.late": "Late: {title}", keep: "Come in time.", gate: "Gate" };

const moved: EventType = eventType({
  name: "booking.moved",
  title: "Booking moved",
  priority: "low",
  data: { booking: RECORDS.booking, customer: RECORDS.customer },
  required: ["customer"],
  view: ({ booking }, show) => ({
    variant: booking["late"] === true ? "late" : undefined,
    facts: [["gate", show.text(booking["gate"])]],
    names: { seat: show.id("4A") },
  }),
  html: "<p>{{seat}}</p>",
  text: '{{greeting}} {{seat}} {{#each facts}}{{label}}: {{value}}; {{/each}}{{t "keep"}}',
  wording: { en: EN },
});

const types = new Map([["booking.moved", moved]]);
const render = createRenderer({ from: "a@example.com", types });

function read(data: object, type = "booking.moved") {
  const parsed = parseEvent({ id: "e", type, data }, types);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.event;
}

const booking = { title: "Sa Pa", gate: "B7" };
const customer = { email: "An <an@example.com>", locale: "en" };

describe("a type of an event", () => {
  test("says which records of data it needs, and which it knows", () => {
    expect(read({ booking, customer }).data.customer.email).toBe("an@example.com");
    const parsed = parseEvent({ id: "e", type: "booking.moved", data: {} }, types);
    expect(parsed.ok ? [] : parsed.problems.map(({ pointer }) => pointer)).toEqual(["/data/customer"]);
    expect(() => read({ booking, customer }, "payment.completed")).toThrow("must be one of: booking.moved");
  });

  test("says what its mail shows, and what it says", () => {
    const mail = render(read({ booking, customer }), "msg_01");
    expect(mail.subject).toBe("Moved: Sa Pa");
    expect(mail.text).toBe("Hello, 4A For: Sa Pa; Gate: B7; Come in time.");
    expect(mail.html).toBe("<p>4A</p>");
  });

  test("shows no field that it does not know: it is as the producer wrote it", () => {
    const payment = { id: "pay\n1", currency: "no currency", amount: "much", method: "card", livemode: false };
    const mail = render(read({ booking: { ...booking, items: [{ name: "a", amount: 2 }] }, payment, customer }), "m");
    expect([mail.subject, mail.text]).toEqual(["Moved: Sa Pa", "Hello, 4A For: Sa Pa; Gate: B7; Come in time."]);
    const lines = [{ name: "a", amount: 2 }];
    expect(
      read({ booking: { items: lines }, payment: { amount: 1 }, customer: { email: "a@b" } }).notes,
    ).toBeUndefined();
  });

  test("has phrases for a variant, and the others where there is none", () => {
    const mail = render(read({ booking: { ...booking, late: true }, customer }), "msg_01");
    expect(mail.subject).toBe("Late: Sa Pa");
    expect(mail.text).toEndWith("Come in time.");
  });

  test("speaks English to whom its own phrases are in no other language", () => {
    const mail = render(read({ booking, customer: { ...customer, locale: "vi" } }), "msg_01");
    expect([mail.language, mail.text]).toEqual(["en", "Hello, 4A For: Sa Pa; Gate: B7; Come in time."]);
  });

  test("is no type with a priority that is none", () => {
    expect(() => eventType({ ...moved, priority: "urgent" })).toThrow("priority urgent is none of critical");
  });
});

test("each type has its own name, which the list has it by, and a title", () => {
  for (const [name, type] of EVENT_TYPES) expect([type.name, type.title]).toEqual([name, expect.stringMatching(/\w/)]);
  expect(EVENT_TYPES.size).toBeGreaterThan(1);
  expect(() => render({ id: "e", type: "x", data: { booking, customer } } as Event, "m")).toThrow("no template for it");
});
