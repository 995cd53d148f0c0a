import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { summaryOf } from "../../src/domain/door/notes.ts";
import type { Event } from "../../src/domain/event.ts";
import { EVENT_EXAMPLE as completed } from "../../src/domain/example.ts";
import { PRIORITIES } from "../../src/domain/lifecycle.ts";
import { EVENT_TYPES } from "../../src/types/eventTypes.ts";
import { parseEvent } from "../../src/types/parse.ts";
import { isSameEvent, type Plan, planOf } from "../../src/types/plan.ts";

const smallest = {
  id: "1",
  type: "payment.completed",
  data: { booking: {}, payment: { amount: 0 }, customer: { email: "a@b" } },
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

function parsed(input: unknown): { problems: string[]; notes: string[]; event?: Event } {
  const result = parseEvent(input);
  if (!result.ok) return { problems: result.problems.map(({ pointer }) => pointer), notes: [] };
  return { problems: [], notes: (result.event.notes ?? []).map(({ pointer }) => pointer), event: result.event };
}

function pointersOf(input: unknown): string[] {
  return parsed(input).problems;
}

function detailOf(input: unknown): string {
  const result = parseEvent(input);
  return result.ok ? "" : (result.problems[0]?.detail ?? "");
}

function valueAt(event: unknown, pointer: string): unknown {
  const path = pointer.split("/").slice(1);
  return path.reduce<unknown>((place, part) => (place as Record<string, unknown> | undefined)?.[part], event);
}

/** What the door makes of `value` there, and its notes. */
function becomes(pointer: string, value: unknown): [unknown, string[]] {
  const { problems, event, notes } = parsed(put(refunded, pointer, value));
  expect(problems).toEqual([]);
  return [valueAt(event, pointer), notes];
}

describe("an event", () => {
  test.each([
    ["the README's example", completed],
    ["the least that is allowed", smallest],
    ["a refund", refunded],
    ["a refund that does not say why", put(refunded, "/data/refund", undefined)],
    ["empty options", put(completed, "/options", {})],
    ["the longest delay", put(completed, "/options/delayMs", 30 * 86_400_000)],
    ["an id of 200 characters", put(completed, "/id", "ộ".repeat(200))],
    ["an id with blanks, in any script", put(completed, "/id", "đơn n°110 / 注文")],
    ["a title of 200 characters", put(completed, "/data/booking/title", "ộ".repeat(200))],
    ["1,000 items", put(completed, "/data/booking/items", Array(1_000).fill({ name: "x", quantity: 1, amount: 450 }))],
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
    const shared = ["/type", "/id", "/data/payment", "/data/customer"];
    expect(pointersOf({})).toEqual(["/type", "/id", "/data"]);
    expect(pointersOf({ id: "", type: "x", data: {} }).sort()).toEqual(shared.sort());
    const event = put(put(completed, "/type", "nope"), "/data/payment/amount", 0.5);
    expect(pointersOf(put(event, "/data/customer/email", "an")).sort()).toEqual(
      ["/type", "/data/payment/amount", "/data/customer/email"].sort(),
    );
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
        return pointersOf(put(refunded, pointer, value)).every((problem) => problem.startsWith(pointer));
      }),
    );
  });

  test("is accepted with an address, an id, a type and an amount, whatever else it has; its normal form is its own", () => {
    fc.assert(fc.property(mailable, hasNormalForm), { numRuns: 3_000 });
  });
});

const junk = fc.oneof(
  fc.jsonValue(),
  fc.string({ unit: "binary" }),
  fc.constantFrom(
    "",
    " ",
    null,
    0,
    -1,
    1.5,
    true,
    "true",
    "vi_VN",
    "C",
    "vnd",
    "2026-12-01 21:30",
    "2026-02-30",
    "\u202ex\r\n",
  ),
);
const lines = fc.array(fc.record({ name: junk, quantity: junk, amount: junk, any: junk }, { requiredKeys: [] }));
const someOf = (keys: Record<string, fc.Arbitrary<unknown>>) =>
  fc.oneof(
    junk,
    fc
      .record(keys, { requiredKeys: [] })
      .chain((known) => fc.dictionary(fc.string(), junk).map((more) => ({ ...more, ...known }))),
  );

const mailable = fc
  .record({
    id: fc.oneof(fc.integer(), fc.constantFrom("evt_1", "đơn 1")),
    type: fc.constantFrom("payment.completed", "payment.refunded"),
    occurredAt: junk,
    booking: someOf({ id: junk, title: junk, startsAt: junk, items: fc.oneof(junk, lines) }),
    payment: fc.record({ id: junk, currency: junk, method: junk }, { requiredKeys: [] }),
    customer: fc.record({ name: junk, locale: junk, "e-mail": junk }, { requiredKeys: [] }),
    refund: fc.record({ id: junk, reason: junk }, { requiredKeys: [] }),
    options: someOf({ delayMs: junk, priority: junk, hold: junk }),
    amount: fc.maxSafeNat(),
    email: fc.constantFrom("an@example.com", "An <tran..an@bücher.example>"),
    data: fc.dictionary(fc.string(), junk),
    top: fc.dictionary(fc.string(), junk),
  })
  .map(({ id, type, occurredAt, booking, payment, customer, refund, options, amount, email, data, top }) => ({
    ...top,
    id,
    type,
    occurredAt,
    options,
    data: { ...data, booking, refund, payment: { ...payment, amount }, customer: { ...customer, email } },
  }));

function hasNormalForm(input: unknown): boolean {
  const first = parseEvent(JSON.parse(JSON.stringify(input)));
  if (!first.ok) return false;
  const { notes = [], ...event } = first.event;
  const json = JSON.stringify(event);
  const again = parseEvent(JSON.parse(json));
  if (!again.ok) return false;
  const { notes: later = [], ...same } = again.event;
  const said = new Set(notes.map(({ pointer, detail }) => `${pointer} ${detail}`));
  return JSON.stringify(same) === json && later.every(({ pointer, detail }) => said.has(`${pointer} ${detail}`));
}

describe("what no mail can be made of is refused, and named by its pointer", () => {
  const deep = JSON.parse(`${"[".repeat(3_000)}${"]".repeat(3_000)}`);
  const bad: [string, unknown[]][] = [
    ["/id", [undefined, null, "", " ", ".", "..", "x".repeat(201), "\u200b", true, {}, ["evt_1"], 2 ** 53, deep]],
    ["/type", [undefined, null, "nope", deep]],
    ["/data", [undefined, null, "x", []]],
    ["/data/payment", [undefined, null, [], 450_000]],
    ["/data/payment/amount", [undefined, null, -1, 4.5, "450000", Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, true]],
    ["/data/customer", [undefined, null, [], "an@example.com"]],
    ["/data/customer/email", [undefined, null, "", 7, {}, ["an@example.com"], "an", "nguyễn@example.com", "a@b, c@d"]],
    ["/data/refund/amount", [-1, "1", 0.5, true, 2 ** 53]],
  ];
  for (const [pointer, values] of bad) {
    test(`${pointer}, in each way that it can be bad`, () => {
      for (const value of values) {
        const problems = pointersOf(put(refunded, pointer, value));
        expect(problems, `${pointer} = ${String(value).slice(0, 40)}`).toEqual([pointer]);
      }
    });
  }

  test("all of it at once, in one answer", () => {
    const event = put(put(put(completed, "/id", ""), "/data/payment/amount", "x"), "/data/customer/email", 1);
    expect(pointersOf(event).sort()).toEqual(["/data/customer/email", "/data/payment/amount", "/id"]);
  });

  test("and shown, cut to a length that does not echo a whole body", () => {
    expect(detailOf(put(completed, "/data/payment/amount", "450000"))).toContain('"450000"');
    expect(detailOf(put(completed, "/id", undefined))).toStartWith("is missing");
    expect(detailOf(put(completed, "/id", "y".repeat(60_000))).length).toBeLessThan(300);
    expect(detailOf(put(completed, "/type", "y".repeat(60_000))).length).toBeLessThan(300);
    for (const email of ["😀".repeat(201), `x${"😀".repeat(201)}`]) {
      expect(detailOf(put(completed, "/data/customer/email", email)).isWellFormed()).toBeTrue();
    }
  });
});

describe("what a mail can do without", () => {
  const OPTIONAL = [
    ...["/occurredAt", "/data/booking", "/data/booking/id", "/data/booking/title", "/data/booking/startsAt"],
    ...["/data/booking/items", "/data/booking/items/0/quantity", "/data/booking/items/0/amount", "/data/payment/id"],
    ...["/data/payment/currency", "/data/payment/method", "/data/customer/name", "/data/customer/locale"],
    ...[
      "/data/refund",
      "/data/refund/id",
      "/data/refund/reason",
      "/data/refund/amount",
      "/options",
      "/options/delayMs",
    ],
    ...["/options/priority", "/options/hold"],
  ];

  test.each(OPTIONAL)("may be missing, null, empty or blank, with no note: %s", (pointer) => {
    const kept = pointer === "/data/booking" ? {} : undefined;
    const blanks = pointer === "/data/refund/amount" ? [undefined, null] : [undefined, null, "", " \r\n\u00a0"];
    for (const value of blanks) expect(becomes(pointer, value)).toEqual([kept, []]);
  });

  test.each(OPTIONAL.filter((pointer) => pointer !== "/data/refund/amount" && pointer !== "/options/hold"))(
    "is left out, with a note, when it is of the wrong type: %s",
    (pointer) => {
      const kept = pointer === "/data/booking" ? {} : undefined;
      const values = pointer === "/data/booking/items" ? [true, {}] : [true, [], [{}]];
      for (const value of values) expect(becomes(pointer, value)).toEqual([kept, [pointer]]);
    },
  );

  const KEPT: [string, unknown, unknown][] = [
    ["/id", 17, "17"],
    ["/data/booking/id", 1042, "1042"],
    ["/data/booking/id", " ĐH-1042 ", "ĐH-1042"],
    ["/data/booking/id", "ộ".repeat(200), "ộ".repeat(200)],
    ["/data/payment/id", "n°110 / BK 1042", "n°110 / BK 1042"],
    ["/data/booking/title", 7, "7"],
    ["/data/booking/title", "Sa\u00a0Pa  bus", "Sa\u00a0Pa bus"],
    ["/data/customer/name", "Nguye\u0302\u0303n", "Nguyễn"],
    ["/data/booking/items/0/quantity", 1.5, 1.5],
    ["/data/booking/items/0/quantity", "2", 2],
    ["/data/payment/currency", " VND ", "VND"],
    ["/data/customer/email", " AN@Example.COM", "AN@example.com"],
    ["/data/booking/startsAt", " 2026-12-01 ", "2026-12-01"],
    ["/options/delayMs", 30 * 86_400_000, 30 * 86_400_000],
    ["/data/booking/items", [null, ""], []],
  ];
  test.each(KEPT)("is taken without a word: %s as %p", (pointer, given, normal) => {
    expect(becomes(pointer, given)).toEqual([normal, []]);
  });

  const NOTED: [string, unknown, unknown][] = [
    ["/id", "evt\t1", "evt 1"],
    ["/data/customer/name", "An\r\n", "An"],
    ["/data/customer/name", "An \ud83d", "An \ufffd"],
    ["/data/customer/name", "\u202eAn", "An"],
    ["/data/booking/title", "ộ".repeat(201), `${"ộ".repeat(199)}…`],
    ["/data/booking/id", "x".repeat(201), undefined],
    ["/data/payment/id", 2 ** 60, undefined],
    ["/data/payment/method", "x".repeat(65), `${"x".repeat(63)}…`],
    ["/data/refund/reason", "x".repeat(201), `${"x".repeat(199)}…`],
    ["/data/booking/startsAt", "2026-12-01 21:30 +0700", "2026-12-01T21:30+07:00"],
    ["/data/booking/startsAt", "2026-02-30", undefined],
    ["/data/booking/startsAt", 1_796_135_400, undefined],
    ["/occurredAt", "yesterday", undefined],
    ["/occurredAt", "2026-11-24t09:30z", "2026-11-24T09:30Z"],
    ["/data/customer/locale", "vi_VN.UTF-8", "vi-VN"],
    ["/data/customer/locale", "EN-us", "en-US"],
    ["/data/customer/locale", "C", undefined],
    ["/data/customer/email", "an@bücher.example", "an@xn--bcher-kva.example"],
    ["/data/payment/currency", "vnd", "VND"],
    ["/data/payment/currency", "ZZZ", undefined],
    ["/data/payment/currency", "XAU", undefined],
    ["/data/payment/currency", "₫", undefined],
    ["/data/payment/currency", 704, undefined],
    ["/data/booking/items/0/quantity", 0, undefined],
    ["/data/booking/items/0/quantity", -1, undefined],
    ["/data/booking/items/0/quantity", "two", undefined],
    ["/data/booking/items/0/amount", 0.5, undefined],
    ["/data/booking/items/0/amount", 2 ** 53, undefined],
    ["/data/booking/items/0/amount", "450000", 450_000],
    ["/options/delayMs", -1, undefined],
    ["/options/delayMs", 0.5, undefined],
    ["/options/delayMs", "soon", undefined],
    ["/options/delayMs", "10", 10],
    ["/options/delayMs", 30 * 86_400_000 + 1, undefined],
    ["/options/priority", "urgent", undefined],
    ["/options/priority", "Critical", "critical"],
  ];
  test.each(NOTED)("is brought into its form or left out, with a note: %s as %p", (pointer, given, normal) => {
    expect(becomes(pointer, given)).toEqual([normal, [pointer]]);
  });

  test("is a name in each line, and nothing else", () => {
    const items = [{ name: "Seat 4A" }, "Seat 4B", 7, { amount: 1 }, true, null, { name: " ", quantity: 1 }];
    const { event, notes } = parsed(put(completed, "/data/booking/items", items));
    expect(event?.data.booking.items).toEqual([{ name: "Seat 4A" }, { name: "Seat 4B" }, { name: "7" }]);
    expect(notes).toEqual(["/data/booking/items/3", "/data/booking/items/4", "/data/booking/items/6"]);
  });

  test.each([
    [true, true, false],
    ["true", true, true],
    [" TRUE ", true, true],
    [1, true, true],
    [false, false, false],
    ["false", false, true],
    [0, false, true],
    ["yes", true, true],
    [2, true, true],
    [{}, true, true],
    [[], true, true],
  ])("is hold, where no doubt lets a mail out: %p is %p", (given, hold, isNoted) => {
    expect(becomes("/options/hold", given)).toEqual([hold, isNoted ? ["/options/hold"] : []]);
  });

  test.each([
    ["/options", { held: true }],
    ["/options", { Hold: "maybe" }],
    ["/hold", true],
    ["/option", { hold: true }],
    ["/Options", { Hold: 1 }],
  ])("is where hold stands, when it stands beside its place: %s %j", (pointer, value) => {
    const { event, notes } = parsed(put(put(completed, "/options", undefined), pointer, value));
    expect(event?.options?.hold).toBeTrue();
    expect(notes).toContain("/options");
  });

  test.each([
    ["/options", { held: false }],
    ["/options", { Hold: null }],
    ["/options", { hold: false, held: true }],
    ["/hold", "false"],
    ["/options", { delay: 1 }],
  ])("holds nothing that says it does not: %s %j", (pointer, value) => {
    const { event } = parsed(put(put(completed, "/options", undefined), pointer, value));
    expect(event?.options?.hold ?? false).toBeFalse();
  });
});

describe("the lines of a booking", () => {
  const withLines = (amounts: unknown[], amount = 400_000) => {
    const items = amounts.map((one) => ({ name: "x", quantity: 1, amount: one }));
    return parseEvent(put(put(completed, "/data/payment/amount", amount), "/data/booking/items", items));
  };
  const notesOf = (...input: Parameters<typeof withLines>) => {
    const result = withLines(...input);
    return result.ok ? (result.event.notes ?? []) : undefined;
  };

  test("may be discounts, and any number of them", () => {
    expect(withLines([450_000, -50_000])).toMatchObject({
      ok: true,
      event: { data: { booking: { items: [{}, { amount: -50_000 }] } } },
    });
    expect(notesOf([450_000, -50_000])).toEqual([]);
    expect(notesOf(Array(4_000).fill(100))).toEqual([]);
  });

  test("are said not to add up, where they do not", () => {
    const detail = "differs from the total: the lines add up to 450000, the payment is 400000";
    expect(notesOf([450_000])).toEqual([{ pointer: "/data/booking/items", detail }]);
    expect(notesOf([Number.MAX_SAFE_INTEGER, 1, -1], Number.MAX_SAFE_INTEGER)).toEqual([]);
    expect(notesOf([Number.MAX_SAFE_INTEGER, 2, -1], Number.MAX_SAFE_INTEGER)).toHaveLength(1);
    expect(notesOf([450_000, undefined])).toEqual([]);
    expect(notesOf([])).toEqual([]);
  });
});

describe("a field that is not known", () => {
  test.each(["/optons", "/options/delay", "/eventId", "/notes", "/options/a~1b~0c"])(
    "is left out at %s, with a note",
    (pointer) => {
      const name = pointer.replace("a~1b~0c", "a/b~c");
      const input =
        name === pointer
          ? put(completed, pointer, [{ pointer: "/x", detail: "y" }])
          : put(completed, "/options", { "a/b~c": 1 });
      const { event, notes } = parsed(input);
      expect(notes).toEqual([pointer]);
      expect(valueAt(event, pointer === "/notes" ? "/notes/0/pointer" : pointer)).toEqual(
        pointer === "/notes" ? "/notes" : undefined,
      );
    },
  );

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

  test.each([
    ["/data/booking/startAt", "startsAt"],
    ["/data/booking/starts_at", "startsAt"],
    ["/data/customer/local", "locale"],
    ["/data/customer/e-mail", "email"],
    ["/data/payment/Currency", "currency"],
    ["/data/bookings", "booking"],
    ["/data/booking/items/0/quantty", "quantity"],
  ])("is kept with a note where it is nearly one that is: %s", (pointer, meant) => {
    const result = parseEvent(put(completed, pointer, "x"));
    expect(result).toMatchObject({
      ok: true,
      event: { notes: [{ pointer, detail: `kept as it is: ${meant} may be meant` }] },
    });
    expect(valueAt(parsed(put(completed, pointer, "x")).event, pointer)).toBe("x");
  });

  test("is left out when it is __proto__, and pollutes nothing anywhere", () => {
    const json = JSON.stringify(completed);
    const evil = '"__proto__":{"polluted":true,"hold":true,"email":"x@example.com"},';
    for (const place of ["{", '"options":{', '"data":{', '"booking":{', '"customer":{']) {
      const { event, notes } = parsed(JSON.parse(json.replace(place, `${place}${evil}`)));
      expect(notes).toHaveLength(1);
      expect(notes[0]).toEndWith("/__proto__");
      for (const part of [event, event?.options, event?.data, event?.data.booking, event?.data.customer]) {
        expect(Object.getPrototypeOf(part)).toBe(Object.prototype);
        expect((part as { polluted?: unknown }).polluted).toBeUndefined();
      }
      expect(event?.options?.hold).toBeFalse();
    }
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test("keeps what is up to 32 levels deep; what is below is left out, with a note", () => {
    const nested = (levels: number): unknown => JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`);
    const fits = put(completed, "/data/deep", nested(30));
    expect(parseEvent(fits)).toEqual({ ok: true, event: fits as never });
    const { event, notes } = parsed(put(completed, "/data/deep", nested(31)));
    expect(notes).toEqual([`/data/deep${"/a".repeat(30)}`]);
    expect(JSON.stringify(event?.data["deep"])).toContain('{"a":null}');
    const array = JSON.parse(`${"[".repeat(3_000)}${"]".repeat(3_000)}`);
    expect(parsed(put(completed, "/data/booking/gate", array)).notes).toHaveLength(1);
  });
});

describe("the notes", () => {
  test("are fifty, and how many more there are", () => {
    const many = Object.fromEntries(Array.from({ length: 3_000 }, (_, i) => [`field${i}`, i]));
    const result = parseEvent({ ...completed, ...many });
    const notes = result.ok ? (result.event.notes ?? []) : [];
    expect(notes).toHaveLength(51);
    expect(notes.at(-1)).toEqual({ pointer: "", detail: "and 2950 more" });
  });

  test("repeat no name or value of any length", () => {
    const event = { ...completed, ["x".repeat(60_000)]: 1, occurredAt: "y".repeat(60_000) };
    expect(JSON.stringify(parsed(event).event?.notes).length).toBeLessThan(1_000);
  });

  test("say the most in one line of the timeline", () => {
    const names = ["/data/customer/locale", "/data/booking/startsAt"];
    const event = names.reduce<object>((one, pointer) => put(one, pointer, "x|\n"), completed);
    expect(summaryOf(parsed(event).event?.notes ?? [])).toBe(
      "/data/booking/startsAt left out, /data/customer/locale left out",
    );
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`field\n${i}`, i]));
    const long = summaryOf(parsed({ ...completed, ...many }).event?.notes ?? []);
    expect(long.length).toBeLessThanOrEqual(200);
    expect(long).not.toContain("\n");
  });
});

describe("money and language", () => {
  test.each(["VND", "USD", "JPY", "KWD", "EUR", "XOF", "XPF"])("know the currency %s", (currency) => {
    expect(becomes("/data/payment/currency", currency)).toEqual([currency, []]);
  });

  test.each(["vi", "en", "en-GB", "zh-Hant-TW", "es-419", "de-CH-1996"])("know the language %s", (locale) => {
    expect(becomes("/data/customer/locale", locale)).toEqual([locale, []]);
  });

  test("take the largest amount that a number holds exactly", () => {
    expect(pointersOf(put(completed, "/data/payment/amount", Number.MAX_SAFE_INTEGER))).toEqual([]);
  });
});

describe("a body in two spellings", () => {
  test("is one event: its hash is of the normal form, without the notes", () => {
    const other = put(
      put(put(completed, "/data/customer/locale", "vi_VN"), "/occurredAt", "2026-11-24t09:30:00z"),
      "/data/booking/title",
      null,
    );
    const plain = put(
      put(put(completed, "/data/customer/locale", "vi-VN"), "/occurredAt", "2026-11-24T09:30:00Z"),
      "/data/booking/title",
      undefined,
    );
    const [one, two] = [other, plain].map((input) => planOf(parsed(input).event as Event, 0)) as [Plan, Plan];
    expect(one.bodyHash).toBe(two.bodyHash);
    expect(isSameEvent(one.json, two.json)).toBeTrue();
    expect(JSON.parse(one.json).notes).toHaveLength(2);
    expect(
      isSameEvent(JSON.stringify(plain).replace("vi-VN", "vi_VN"), two.json),
      "kept by an older release",
    ).toBeTrue();
    expect(isSameEvent(JSON.stringify(put(plain, "/data/booking/title", "x")), two.json)).toBeFalse();
    expect(isSameEvent("{}", two.json)).toBeFalse();
  });
});
