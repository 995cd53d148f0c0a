import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Event } from "../../src/domain/event.ts";
import { mapStripeEvent } from "../../src/http/stripeEvent.ts";
import { parseEvent } from "../../src/types/parse.ts";
import { type Any, CHARGE, eventIn, INTENT, METADATA, SESSION, stripeEvent, understandingOf } from "./stripeEvents.ts";

function eventOf(type: string, object: object, change?: (object: Any) => void) {
  const event = eventIn(stripeEvent(type, object, change));
  expect(parseEvent(structuredClone(event)).ok).toBe(true);
  return event.data;
}

const session = (change?: (object: Any) => void) => eventOf("checkout.session.completed", SESSION, change);
const intent = (change?: (object: Any) => void) => eventOf("payment_intent.succeeded", INTENT, change);
const charge = (change?: (object: Any) => void) => eventOf("charge.succeeded", CHARGE, change);

describe("a Stripe event becomes ours", () => {
  const booking = { id: "BK-1042", title: "Hà Nội → Sa Pa, sleeper bus", startsAt: "2026-12-01T21:30:00+07:00" };
  const payment = { id: "pi_3Q", amount: 450000, currency: "VND", method: "card" };
  const [email, name] = ["an@example.com", "Nguyễn Văn An"];

  test.each([
    ["checkout.session.completed", SESSION, { email, name, locale: "vi" }],
    ["checkout.session.async_payment_succeeded", SESSION, { email, name, locale: "vi" }],
    ["payment_intent.succeeded", INTENT, { email }],
    ["charge.succeeded", CHARGE, { email, name }],
    ["charge.captured", CHARGE, { email, name }],
  ])("from %s", (type, object, customer) => {
    const input = stripeEvent(type, object);
    const { mapped, ...envelope } = mapStripeEvent(input);
    expect(mapped.kind).toBe("notice");
    expect(envelope).toEqual({ stripeEventId: input.id, stripeType: type, livemode: true });
    expect(understandingOf(input)).toEqual({
      event: {
        id: "stripe_pi_3Q",
        type: "payment.completed",
        occurredAt: "2026-11-24T09:30:00.000Z",
        data: { booking, payment, customer },
      },
    });
  });

  test("with the payment intent's id where there is one, expanded or not, else with its own", () => {
    const id = (type: string, object: object, change: (object: Any) => void) => {
      const { id, data } = eventIn(stripeEvent(type, object, change));
      return [id, data.payment.id];
    };
    for (const none of [null, undefined, 7]) {
      expect(id("charge.succeeded", CHARGE, (o) => (o.payment_intent = none))).toEqual(["stripe_ch_3Q", "ch_3Q"]);
    }
    expect(id("checkout.session.completed", SESSION, (o) => (o.payment_intent = null))).toEqual([
      "stripe_cs_test_a1B2",
      "cs_test_a1B2",
    ]);
    expect(id("charge.succeeded", CHARGE, (o) => (o.payment_intent = INTENT))).toEqual(["stripe_pi_3Q", "pi_3Q"]);
  });

  test("to which more may be added where another object names the same payment, and this one names no booking", () => {
    const expectsMore = (type: string, object: object, change: (object: Any) => void = () => {}) => {
      const { mapped } = mapStripeEvent(stripeEvent(type, object, change));
      return mapped.kind === "notice" && mapped.notice.expectsMore;
    };
    const unnamed = (o: Any) => Object.assign(o, { metadata: {} });
    expect(expectsMore("charge.succeeded", CHARGE)).toBe(false);
    expect(expectsMore("charge.succeeded", CHARGE, unnamed)).toBe(true);
    expect(expectsMore("payment_intent.succeeded", INTENT, unnamed)).toBe(true);
    expect(expectsMore("charge.succeeded", CHARGE, (o) => Object.assign(unnamed(o), { payment_intent: null }))).toBe(
      false,
    );
    expect(expectsMore("checkout.session.completed", SESSION, unnamed)).toBe(false);
  });

  test("without an instant when it has none", () => {
    for (const created of [undefined, null, "now", -1, 1.5, 1e15]) {
      expect(eventIn({ ...stripeEvent("charge.succeeded", CHARGE), created })).not.toHaveProperty("occurredAt");
    }
  });

  test("when it costs nothing", () => {
    const free = session((o) => Object.assign(o, { amount_total: 0, payment_status: "no_payment_required" }));
    expect(free.payment).toEqual({ id: "pi_3Q", amount: 0, currency: "VND", method: "card" });
  });

  test("with what was captured, when that is less than what was authorized", () => {
    expect(charge((o) => (o.amount_captured = 300000)).payment.amount).toBe(300000);
    expect(charge((o) => delete o.amount_captured).payment.amount).toBe(450000);
  });

  test("with what the customer saw and paid, when Stripe converted the price", () => {
    const shown = { presentment_amount: 1710, presentment_currency: "eur" };
    for (const read of [session, intent, charge]) {
      const { amount, currency } = read((o) => (o.presentment_details = shown)).payment;
      expect([amount, currency]).toEqual([1710, "EUR"]);
    }
  });
});

describe("the customer", () => {
  test("is written to where receipts go, else where the bill went", () => {
    expect(charge((o) => (o.receipt_email = null)).customer.email).toBe("billing@example.com");
    expect(charge((o) => (o.receipt_email = "an@@example.com")).customer.email).toBe("billing@example.com");
    expect(charge((o) => (o.receipt_email = " an@example.com ")).customer.email).toBe("an@example.com");
    const prefilled = session((o) => Object.assign(o, { customer_details: null, customer_email: "pre@example.com" }));
    expect(prefilled.customer).toEqual({ email: "pre@example.com", locale: "vi" });
  });

  test("is found in the charge of an intent, expanded or of an older API version", () => {
    const customer = { email: "billing@example.com", name: "Nguyễn Văn An" };
    const bare = { ...CHARGE, receipt_email: null, payment_method_details: { type: "promptpay" } };
    for (const where of [{ latest_charge: bare }, { charges: { object: "list", data: [bare] } }]) {
      const { payment, ...data } = intent((o) => Object.assign(o, { receipt_email: null, ...where }));
      expect([data.customer, payment.method]).toEqual([customer, "promptpay"]);
    }
  });

  test.each(["auto", null, "", "  ", undefined])("has no language when the session's is %p", (locale) => {
    const event = eventIn(stripeEvent("checkout.session.completed", SESSION, (o) => (o.locale = locale)));
    expect(event.data.customer).not.toHaveProperty("locale");
    expect(event).not.toHaveProperty("notes");
  });

  test("has the first language that is one, of the metadata, the page and the customer", () => {
    const language = (metadata: unknown, page: unknown, customer: unknown = "cus_1") =>
      session((o) => {
        o.metadata.locale = metadata;
        Object.assign(o, { locale: page, customer });
      }).customer.locale;
    expect(language("vi_VN.UTF-8", "en")).toBe("vi-VN");
    expect(language("Vietnamese", "vi")).toBe("vi");
    expect(language("auto", "auto", { id: "cus_1", preferred_locales: ["nobody", "vi-VN"] })).toBe("vi-VN");
    expect(language("", null, { id: "cus_1", preferred_locales: ["C", "vi-VN", "en"] })).toBe("vi-VN");
    expect(language(undefined, "auto", { id: "cus_1", preferred_locales: null })).toBeUndefined();
  });

  test("has the language of the metadata before that of the page", () => {
    expect(session((o) => (o.metadata.locale = "en-GB")).customer.locale).toBe("en-GB");
    expect(intent((o) => (o.metadata.locale = "vi")).customer.locale).toBe("vi");
    for (const locale of ["es-419", "fil", "fr-CA", "nb", "pt-BR", "zh-HK"]) {
      expect(session((o) => (o.locale = locale)).customer.locale).toBe(locale);
    }
  });

  test("has a name on one line", () => {
    const named = (name: unknown) => session((o) => (o.customer_details.name = name)).customer.name;
    expect(named("An\r\nBcc: x@example.com")).toBe("An Bcc: x@example.com");
    expect(named(" \u0000\u2028An\u0085\ud800 ")).toBe("An \ufffd");
    expect([named("\r\n"), named(""), named(7)]).toEqual([undefined, undefined, undefined]);
  });
});

describe("the booking", () => {
  test("has the id of the metadata as it was given, else the reference, and never the payment's", () => {
    const id = (bookingId: unknown, reference: unknown) =>
      session((o) => Object.assign(o, { metadata: { booking_id: bookingId }, client_reference_id: reference })).booking
        .id;
    expect(id(" BK-1 ", "ref_1")).toBe("BK-1");
    for (const given of ["ĐH-1042", "n°110", "BK 1042", "予約 7", "x".repeat(200)])
      expect(id(given, "ref_1")).toBe(given);
    for (const unfit of [undefined, null, "", "x".repeat(201), 1042]) {
      expect(id(unfit, "ref_1")).toBe("ref_1");
      expect(id(unfit, unfit)).toBeUndefined();
    }
  });

  test("has the title of the metadata, else the description, else none", () => {
    const untitled = (o: Any) => delete o.metadata.booking_title;
    expect(intent(untitled).booking.title).toBe("Sleeper bus");
    expect(charge(untitled).booking.title).toBe("Sleeper bus");
    expect(session(untitled).booking).not.toHaveProperty("title");
    const bare = charge((o) => Object.assign(o, { metadata: {}, description: "\n" }));
    expect(bare.booking).toEqual({});
  });

  test("has a title of at most 200 characters, on one line, of whole characters", () => {
    const titled = (title: string) => session((o) => (o.metadata.booking_title = title)).booking.title;
    expect(titled("x".repeat(200))).toBe("x".repeat(200));
    expect(titled("x".repeat(201))).toBe(`${"x".repeat(199)}…`);
    expect(titled(`${"x".repeat(198)}🚌🚌🚌`)).toBe(`${"x".repeat(198)}🚌…`);
    expect(titled("Sa\u0000 Pa\r\nBcc: x@example.com")).toBe("Sa Pa Bcc: x@example.com");
  });

  test.each(["tomorrow", "2026-13-01T21:30:00Z", "2026-12-01T21:30:00+07:00\r\nBcc: x"])(
    "starts at no time when the metadata says %p, and tells which it left out",
    (startsAt) => {
      const { data, notes } = eventIn(
        stripeEvent("charge.succeeded", CHARGE, (o) => {
          o.metadata.starts_at = startsAt;
          o.metadata.locale = "not a language";
        }),
      );
      expect(notes?.map(({ pointer }) => pointer).sort()).toEqual(["/data/booking/startsAt", "/data/customer/locale"]);
      expect(data.booking).toEqual({ id: "BK-1042", title: METADATA.booking_title });
      expect(data.customer).not.toHaveProperty("locale");
    },
  );
});

describe("the method", () => {
  test("is the one that was used, where that is known", () => {
    expect(charge((o) => (o.payment_method_details = { type: "us_bank_account" })).payment.method).toBe(
      "us_bank_account",
    );
    expect(charge((o) => (o.payment_method_details = null)).payment).not.toHaveProperty("method");
    for (const types of [["card", "link"], [], null, "card"]) {
      expect(session((o) => (o.payment_method_types = types)).payment).not.toHaveProperty("method");
      expect(intent((o) => (o.payment_method_types = types)).payment).not.toHaveProperty("method");
    }
  });
});

test("a __proto__ in the JSON is a field like any other, and none that is read", () => {
  const hostile = JSON.stringify(stripeEvent("charge.succeeded", CHARGE)).replace(
    '"metadata":{',
    '"__proto__":{"receipt_email":"evil@example.com"},"metadata":{"__proto__":{"booking_id":"evil","locale":"vi"},',
  );
  expect(eventIn(JSON.parse(hostile))).toEqual(eventIn(stripeEvent("charge.succeeded", CHARGE)));
  expect(({} as Any).booking_id).toBeUndefined();
});

test("whatever stands in a field, an event is understood, and what comes of it is in its normal form", () => {
  const odd = fc.oneof(
    fc.jsonValue(),
    fc.string({ unit: "binary", maxLength: 3_000 }),
    fc.constantFrom("\ud83d", "auto", -1, 2 ** 53),
  );
  const objects: [string, object][] = [
    ["checkout.session.completed", SESSION],
    ["payment_intent.succeeded", INTENT],
    ["charge.captured", CHARGE],
  ];
  const change = fc.tuple(fc.constantFrom(...objects), fc.array(fc.tuple(fc.nat(), fc.nat(), odd), { maxLength: 4 }));
  fc.assert(
    fc.property(change, ([[type, object], changes]) => {
      const input = stripeEvent(type, object, (o) => {
        for (const [which, inner, value] of changes) {
          const names = Object.keys(o);
          const name = names[which % names.length] as string;
          const record = inner % 2 === 0 && typeof o[name] === "object" && o[name] !== null ? o[name] : o;
          const fields = Object.keys(record);
          record[record === o ? name : (fields[inner % fields.length] ?? "x")] = value;
        }
      });
      const understanding = understandingOf(JSON.parse(JSON.stringify(input)));
      if (!("event" in understanding)) return;
      const { notes: _, ...event } = understanding.event;
      expect(parseEvent(structuredClone(event))).toEqual({ ok: true, event: event as Event });
      expect(Buffer.byteLength(JSON.stringify(understanding.event))).toBeLessThan(65_536);
    }),
    { numRuns: 500 },
  );
});
