import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { EVENT_TYPES, parseEvent } from "../../src/domain/event.ts";
import { EVENT_EXAMPLE as completed } from "../../src/domain/example.ts";
import { PRIORITIES } from "../../src/domain/lifecycle.ts";

const smallest = {
  id: "1",
  type: "payment.completed",
  data: {
    booking: { id: "B", title: "T" },
    payment: { id: "P", amount: 0, currency: "USD" },
    customer: { email: "a@b" },
  },
};

const refunded = {
  ...completed,
  type: "payment.refunded",
  data: { ...completed.data, refund: { id: "re_1", amount: 450_000, reason: "trip cancelled" } },
};

/** A copy of `event` with `value` at a JSON Pointer; undefined takes the field out. */
function put(event: object, pointer: string, value: unknown): object {
  const copy = structuredClone(event) as Record<string, unknown>;
  const path = pointer.split("/").slice(1);
  const last = path.pop() as string;
  let place = copy;
  for (const part of path) place = place[part] as Record<string, unknown>;
  if (value === undefined) delete place[last];
  else place[last] = value;
  return copy;
}

function pointersOf(input: unknown): string[] {
  const parsed = parseEvent(input);
  return parsed.ok ? [] : parsed.problems.map(({ pointer }) => pointer);
}

function detailOf(input: unknown): string {
  const parsed = parseEvent(input);
  return parsed.ok ? "" : (parsed.problems[0]?.detail ?? "");
}

describe("an event", () => {
  test.each([
    ["the README's example", completed],
    ["the least that is allowed", smallest],
    ["a refund", refunded],
    ["a refund that does not say why", put(refunded, "/data/refund", undefined)],
    ["empty options", put(completed, "/options", {})],
    ["the longest delay", put(completed, "/options/delayMs", 30 * 86_400_000)],
    ["an id of 128 characters", put(completed, "/id", "x".repeat(128))],
    ["a title of 200 characters", put(completed, "/data/booking/title", "ộ".repeat(200))],
    ["100 items", put(completed, "/data/booking/items", Array(100).fill({ name: "x", quantity: 1, amount: 1 }))],
    ["no items", put(completed, "/data/booking/items", [])],
  ])("is accepted as it is: %s", (_title, event) => {
    expect(parseEvent(event)).toEqual({ ok: true, event: event as never });
  });

  test("is refused as a whole when it is no JSON object", () => {
    for (const input of [undefined, null, true, 7, "text", [], [completed]]) {
      expect(parseEvent(input)).toEqual({ ok: false, problems: [{ pointer: "", detail: "must be a JSON object" }] });
    }
  });

  test("of an unknown type is told which types there are", () => {
    for (const type of [undefined, null, 7, {}, "nope", "PAYMENT.COMPLETED", "payment.completed ", "__proto__"]) {
      const event = put(completed, "/type", type);
      expect(pointersOf(event)).toEqual(["/type"]);
      for (const known of EVENT_TYPES.keys()) expect(detailOf(event)).toContain(known);
    }
  });

  test("of a missing or unknown type is told what else is bad, as far as all types share it", () => {
    const shared = ["/type", "/id", "/data/booking", "/data/payment", "/data/customer"];
    expect(pointersOf({})).toEqual(["/type", "/id", "/data"]);
    expect(pointersOf({ id: "", type: "x", data: {} }).sort()).toEqual(shared.sort());
    const event = put(put(put(completed, "/type", "nope"), "/options/hold", 1), "/occurredAt", "yesterday");
    expect(pointersOf(put(event, "/data/customer/email", "an")).sort()).toEqual(
      ["/type", "/options/hold", "/occurredAt", "/data/customer/email"].sort(),
    );
    expect(pointersOf({ ...event, optons: {} })).toContain("/optons");
    expect(detailOf(event)).toStartWith('is "nope", must be one of: ');
  });

  test("has a priority for each type", () => {
    for (const { priority } of EVENT_TYPES.values()) expect(PRIORITIES).toContain(priority);
    expect(EVENT_TYPES.get("payment.completed")?.priority).toBe("critical");
  });

  test("never makes the check throw, whatever it is", () => {
    fc.assert(fc.property(fc.anything(), (input) => typeof parseEvent(input).ok === "boolean"));
    fc.assert(fc.property(fc.jsonValue(), (input) => typeof parseEvent(input).ok === "boolean"));
  });

  test("never makes the check throw, whatever stands in one of its fields", () => {
    const pointers = ["/id", "/occurredAt", "/data", "/data/booking", "/data/payment/amount", "/data/customer/email"];
    const more = ["/data/booking/items", "/data/customer/locale", "/data/payment/currency", "/options", "/data/refund"];
    fc.assert(
      fc.property(fc.constantFrom(...pointers, ...more), fc.jsonValue(), (pointer, value) => {
        const parsed = parseEvent(put(refunded, pointer, value));
        return parsed.ok || parsed.problems.every((problem) => problem.pointer.startsWith(pointer));
      }),
    );
  });

  test("that is accepted comes out of JSON the same, and is accepted again", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (extra) => {
        const parsed = parseEvent({ ...completed, data: { ...extra, ...completed.data } });
        if (!parsed.ok) return false;
        const again = parseEvent(JSON.parse(JSON.stringify(parsed.event)));
        return again.ok && JSON.stringify(again.event) === JSON.stringify(parsed.event);
      }),
    );
  });
});

describe("a bad field is named by its pointer", () => {
  const bad: [string, unknown[]][] = [
    ["/id", [undefined, null, 7, "", " ", "a b", "é", "a\n", "x".repeat(129)]],
    ["/occurredAt", [null, 7, "", "yesterday", "2026-11-24", "2026-11-24T09:30:00", "2026-02-30T09:30:00Z"]],
    ["/data", [undefined, null, "x", []]],
    ["/data/booking", [undefined, null, "x", []]],
    ["/data/booking/id", [undefined, "", "a b", "x".repeat(129)]],
    ["/data/booking/title", [undefined, null, "", " ", "\u00a0\u2003 ", 7, "x".repeat(201)]],
    ["/data/booking/startsAt", [null, "2026-12-01T21:30:00", "2026-13-01T21:30:00Z", "2026-12-01T25:30:00Z"]],
    ["/data/booking/items", [null, {}, Array(101).fill({ name: "x", quantity: 1, amount: 1 })]],
    ["/data/booking/items/0", [null, 7]],
    ["/data/booking/items/0/name", [undefined, "", "x".repeat(201)]],
    ["/data/booking/items/0/quantity", [undefined, 0, -1, 1.5, "1"]],
    ["/data/booking/items/0/amount", [undefined, -1, 0.1, "450000", 2 ** 53]],
    ["/data/payment", [undefined, null, []]],
    ["/data/payment/id", [undefined, ""]],
    ["/data/payment/amount", [undefined, null, -1, 4.5, "450000", Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]],
    ["/data/payment/currency", [undefined, "", "vnd", "VN", "VNDD", "ZZZ", "XXX", "XAU", "XTS", "₫", 704]],
    ["/data/payment/method", [null, "", "x".repeat(65)]],
    ["/data/customer", [undefined, null, []]],
    ["/data/customer/email", [undefined, null, "", 7, {}, ["an@example.com"]]],
    ["/data/customer/name", [null, "", "x".repeat(201)]],
    ["/data/customer/locale", [null, "", "vi_VN", "x", "en GB", "vi\n", "e".repeat(36), "en-".concat("a".repeat(40))]],
    ["/data/refund", [null, 7, []]],
    ["/data/refund/amount", [undefined, -1, "1"]],
    ["/data/refund/id", ["", "a b"]],
    ["/data/refund/reason", [null, "", "x".repeat(201)]],
    ["/options", [null, [], "x"]],
    ["/options/delayMs", [null, -1, 0.5, "10", 30 * 86_400_000 + 1]],
    ["/options/priority", [null, "", "urgent", "Critical", 0]],
    ["/options/hold", [null, 0, "false"]],
  ];
  for (const [pointer, values] of bad) {
    test(`${pointer}, in each way that it can be bad`, () => {
      for (const value of values) {
        const problems = pointersOf(put(refunded, pointer, value));
        expect(problems, `${pointer} = ${String(value).slice(0, 40)}`).toEqual([pointer]);
      }
    });
  }

  test("all of them at once, in one answer", () => {
    const event = put(put(put(completed, "/id", ""), "/data/payment/currency", "x"), "/options/hold", 1);
    expect(pointersOf(event).sort()).toEqual(["/data/payment/currency", "/id", "/options/hold"]);
  });

  test("once, with all that is wrong with it", () => {
    expect(detailOf(put(completed, "/data/customer/locale", "e".repeat(36)))).toEndWith(
      "Too big: expected string to have <=35 characters",
    );
    const detail = detailOf(put(completed, "/data/booking/title", `${"x".repeat(201)}\n`));
    expect(detail).toContain("<=200 characters; must not contain control characters");
  });

  test("with ~ and / escaped, as RFC 6901 has it", () => {
    expect(pointersOf(put(completed, "/options", { "a/b~c": 1 }))).toEqual(["/options/a~1b~0c"]);
  });

  test("and shown, cut to a length that does not echo a whole body", () => {
    expect(detailOf(put(completed, "/data/payment/currency", "vnd"))).toContain('"vnd"');
    expect(detailOf(put(completed, "/id", undefined))).toStartWith("is missing");
    expect(detailOf(put(completed, "/id", "y".repeat(60_000))).length).toBeLessThan(300);
    expect(detailOf(put(completed, "/type", "y".repeat(60_000))).length).toBeLessThan(300);
    for (const title of ["😀".repeat(201), `x${"😀".repeat(201)}`]) {
      expect(detailOf(put(completed, "/data/booking/title", title)).isWellFormed()).toBeTrue();
    }
    expect(pointersOf(put(completed, "/options", { "a\ud800": 1 }))[0]?.isWellFormed()).toBeTrue();
  });
});

describe("a field that is not known", () => {
  test.each([
    ["/optons", "/optons"],
    ["/options/delay", "/options/delay"],
    ["/options/Hold", "/options/Hold"],
    ["/eventId", "/eventId"],
  ])("is refused at %s, where it is likely a typing error", (pointer) => {
    expect(pointersOf(put(completed, pointer, 1))).toEqual([pointer]);
    expect(detailOf(put(completed, pointer, 1))).toContain("not a field");
  });

  test.each([
    "/data/extra",
    "/data/booking/gate",
    "/data/booking/items/0/sku",
    "/data/payment/brand",
    "/data/customer/tier",
  ])("is kept at %s, for a team's own templates", (pointer) => {
    const event = put(completed, pointer, { any: ["thing", 1, null] });
    expect(parseEvent(event)).toEqual({ ok: true, event: event as never });
  });

  test("is refused at the top when it is __proto__, and pollutes nothing anywhere", () => {
    const json = JSON.stringify(completed);
    const evil = '"__proto__":{"polluted":true,"hold":true,"email":"x@example.com"},';
    expect(pointersOf(JSON.parse(json.replace("{", `{${evil}`)))).toEqual(["/__proto__"]);
    expect(pointersOf(JSON.parse(json.replace('"options":{', `"options":{${evil}`)))).toEqual(["/options/__proto__"]);
    for (const place of ['"data":{', '"booking":{', '"customer":{']) {
      const parsed = parseEvent(JSON.parse(json.replace(place, `${place}${evil}`)));
      expect(parsed.ok).toBeTrue();
      if (!parsed.ok) continue;
      const { data } = parsed.event;
      for (const part of [data, data.booking, data.customer]) {
        expect(Object.getPrototypeOf(part)).toBe(Object.prototype);
        expect((part as { polluted?: unknown }).polluted).toBeUndefined();
      }
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test("may be nested deep", () => {
    const deep = JSON.parse(`${"[".repeat(3_000)}${"]".repeat(3_000)}`);
    expect(pointersOf(put(completed, "/id", deep))).toEqual(["/id"]);
    expect(pointersOf(put(completed, "/type", deep))).toEqual(["/type"]);
    expect(parseEvent({ ...completed, data: { ...completed.data, deep } }).ok).toBeTrue();
  });
});

describe("a text", () => {
  const texts = [
    "/id",
    "/data/booking/id",
    "/data/booking/title",
    "/data/booking/items/0/name",
    "/data/payment/id",
    "/data/payment/method",
    "/data/payment/currency",
    "/data/customer/email",
    "/data/customer/name",
    "/data/customer/locale",
    "/data/refund/id",
    "/data/refund/reason",
    "/occurredAt",
    "/data/booking/startsAt",
  ];
  const valueAt = (pointer: string): string =>
    pointer
      .split("/")
      .slice(1)
      .reduce<unknown>((place, part) => (place as Record<string, unknown>)[part], refunded) as string;

  test.each(texts)("at %s starts no header of its own: no CR, LF or other control, anywhere in it", (pointer) => {
    const good = valueAt(pointer);
    for (const control of [
      ...["\r\nBcc: x@example.com", "\r", "\n", "\0", "\t", "\u007f", "\u0080", "\u0085", "\u009b", "\u009f"],
      ...["\u2028", "\u2029"],
    ]) {
      for (const text of [`${good}${control}`, `${control}${good}`, `${good}${control}${good}`]) {
        expect(pointersOf(put(refunded, pointer, text)), JSON.stringify(text)).toContain(pointer);
      }
    }
  });

  test.each(texts)("at %s has no lone surrogate", (pointer) => {
    for (const lone of ["\ud800", "\udc00", "\udc00\ud800"]) {
      expect(pointersOf(put(refunded, pointer, `${valueAt(pointer)}${lone}`))).toContain(pointer);
    }
  });

  test("may have spaces around its words, and beside them", () => {
    expect(pointersOf(put(completed, "/data/booking/title", " Sa\u00a0Pa "))).toEqual([]);
  });

  test("may hold what people write in any language", () => {
    const title = "Đà Lạt 🚌 → Huế, 13時, שלום, “quoted” <b>&amp;</b>";
    expect(pointersOf(put(completed, "/data/booking/title", title))).toEqual([]);
  });
});

describe("an address", () => {
  const label = "d".repeat(63);
  /** 254 bytes in all, with a domain of labels of at most 63. */
  const longest = `${"l".repeat(58)}@${label}.${label}.${label}.com`.replace(/^l+/, (local) =>
    "l".repeat(local.length + 254 - `${local}@${label}.${label}.${label}.com`.length),
  );

  test.each([
    "an@example.com",
    "AN.binh+tag@Example.COM",
    "a@b",
    "!#$%&'*+/=?^_`{|}~-@example.com",
    `${"l".repeat(64)}@example.com`,
    `a@${label}.com`,
    "a@xn--p1ai.xn--90ais",
    "1@2.3",
  ])("is accepted: %s", (email) => {
    expect(pointersOf(put(completed, "/data/customer/email", email))).toEqual([]);
  });

  test("is accepted with 254 bytes, and refused with one more", () => {
    expect(longest.length).toBe(254);
    expect(pointersOf(put(completed, "/data/customer/email", longest))).toEqual([]);
    expect(pointersOf(put(completed, "/data/customer/email", longest.replace("@", "l@")))).not.toEqual([]);
  });

  test.each([
    `${"l".repeat(65)}@example.com`,
    `a@${"d".repeat(64)}.com`,
    '"an"@example.com',
    '"an smith"@example.com',
    "an(comment)@example.com",
    "an@example.com(comment)",
    "An <an@example.com>",
    "<an@example.com>",
    "an@example.com, binh@example.com",
    "an@example.com;binh@example.com",
    "an@example.com binh@example.com",
    "team: an@example.com;",
    "@relay.example:an@example.com",
    "an@relay@example.com",
    "an%example.org@",
    "@example.com",
    "an",
    "an@",
    "an@.com",
    "an@example.com.",
    "an@example..com",
    ".an@example.com",
    "an.@example.com",
    "a..n@example.com",
    "an@-example.com",
    "an@example-.com",
    "an@exa_mple.com",
    "an@[127.0.0.1]",
    "an @example.com",
    " an@example.com",
    "an@example.com ",
    "an\\@example.com",
    "nguyễn@example.com",
    "an@exämple.com",
    "mailto:an@example.com",
  ])("is refused: %s", (email) => {
    expect(pointersOf(put(completed, "/data/customer/email", email))).toEqual(["/data/customer/email"]);
  });

  test("is checked in a time that its length does not blow up", () => {
    const startedAt = performance.now();
    for (const hostile of ["a.".repeat(30_000), `a@${"a.".repeat(30_000)}`, `a@${"a-".repeat(30_000)}!`]) {
      parseEvent(put(completed, "/data/customer/email", hostile));
    }
    expect(performance.now() - startedAt).toBeLessThan(3_000);
  });
});

describe("money and language", () => {
  test.each(["VND", "USD", "JPY", "KWD", "EUR", "XOF", "XPF"])("know the currency %s", (currency) => {
    expect(pointersOf(put(completed, "/data/payment/currency", currency))).toEqual([]);
  });

  test.each(["vi", "en", "en-GB", "zh-Hant-TW", "es-419", "de-CH-1996", "EN-us"])("know the language %s", (locale) => {
    expect(pointersOf(put(completed, "/data/customer/locale", locale))).toEqual([]);
  });

  test("take the largest amount that a number holds exactly", () => {
    expect(pointersOf(put(completed, "/data/payment/amount", Number.MAX_SAFE_INTEGER))).toEqual([]);
  });
});
