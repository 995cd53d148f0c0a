/* Whatever the door takes becomes a mail that is well formed, for its recipient alone, and free of links. */
import { expect, test } from "bun:test";
import { domainToUnicode } from "node:url";
import fc from "fast-check";
import { type AddressObject, simpleParser } from "mailparser";
import { compose } from "../../src/mail/compose.ts";
import { createRenderer } from "../../src/mail/render.ts";
import { parseSender } from "../../src/mail/sender.ts";
import { SHARED } from "../../src/mail/templates.ts";
import { EVENT_TYPES } from "../../src/types/eventTypes.ts";
import { parseEvent } from "../../src/types/parse.ts";

const FROM = "Sao Việt <ve@saoviet.example>";
const render = createRenderer({ from: FROM });
const SENDER = parseSender(FROM);
const DATE = new Date("2026-11-24T09:30:00Z");

/** Nothing that stands for a fault, so that a fault is known by it. */
const texts = fc
  .oneof(
    fc.string({ unit: "grapheme", maxLength: 60 }),
    fc.string({ unit: "binary", maxLength: 60 }),
    fc.constantFrom(
      ...["https://promo.example/x", "www.promo.example", "an@promo.example", "Dr.Vu", "promo。example", "//promo.vn"],
      ...[
        "אוטובוס",
        "مقعد 4",
        "\u202eabc",
        "a\r\nBcc: x@example.com",
        "</table><b>",
        "{name} [{title}|x]",
        "{{sender}}",
      ],
      ...["=?utf-8?Q?a?=", "x".repeat(300), "ệ".repeat(300), "=_postpaid", "--=_postpaid--", '"', "<", "&amp;", "'>"],
    ),
  )
  .filter((text) => !/undefined|null|\[object|NaN|[()]|:[^\p{L}\p{N}/]*$/u.test(text));
const ids = fc.oneof(texts, fc.constantFrom("BK-1042", "1042.HN", "ĐH-1042"), fc.integer());
const amounts = fc.oneof(fc.constant(0), fc.nat(), fc.maxSafeNat());
const maybe = (value: fc.Arbitrary<unknown>) => fc.option(fc.option(value), { nil: undefined });

const addresses = fc.constantFrom(
  ...["an@example.com", "tran..an@docomo.ne.jp", '"an smith"@x.example', '"a\\"n, (b)"@x.example', "an@việt.example"],
  ...["An <an+hn@Example.COM>", "o'neill@x.example", '"@"@x.example', '"a;b:c"@x.example', "a=?b?=@x.example"],
);

const events = fc.record({
  id: fc.constant("e"),
  type: fc.constantFrom(...EVENT_TYPES.keys()),
  data: fc.record({
    booking: maybe(
      fc.record({
        id: maybe(ids),
        title: maybe(texts),
        startsAt: maybe(
          fc.constantFrom(
            "2026-12-01",
            "2026-12-01T21:30",
            "2026-12-01 21:30:15.5+0530",
            "0001-01-01",
            "9999-12-31T24:00Z",
          ),
        ),
        items: maybe(
          fc.array(
            fc.record({
              name: texts,
              quantity: maybe(fc.oneof(fc.nat(), fc.double({ noNaN: true }))),
              amount: maybe(fc.maxSafeInteger()),
            }),
            { maxLength: 120, size: "max" },
          ),
        ),
      }),
    ),
    payment: fc.record({
      id: maybe(ids),
      amount: amounts,
      currency: maybe(fc.constantFrom("VND", "USD", "KWD", "UYW", "ILS", "nope")),
      method: maybe(fc.oneof(texts, fc.constantFrom("card", "us_bank_account", "Visa ending 4242"))),
    }),
    refund: maybe(fc.record({ id: maybe(ids), amount: maybe(amounts), reason: maybe(texts) })),
    customer: fc.record({
      email: addresses,
      name: maybe(texts),
      locale: maybe(fc.constantFrom(...Object.keys(SHARED.wording), "vi_VN", "en-u-nu-arab", "he", "en-GB", "ar-EG")),
    }),
  }),
});

function unbalanced(html: string): string[] {
  const open: string[] = [];
  for (const [, end, name = ""] of html
    .replace(/<!--.*?-->|<!doctype html>/gs, "")
    .matchAll(/<(\/?)([a-z][a-z0-9]*)[^<>]*>/g)) {
    if (end === "") open.push(...(name === "meta" ? [] : [name]));
    else if (open.pop() !== name) return [`</${name}>`];
  }
  return open;
}

const mailboxesOf = (to: AddressObject | AddressObject[] | undefined) => (to as AddressObject).value;
/** As mailparser shows an address: quotes are off where they can be, and A-labels are read. */
const shown = (address = "") =>
  address
    .replace(/^"(.*)"@/, (_, local: string) => `${local.replace(/\\(.)/g, "$1")}@`)
    .replace(/@([^@]*)$/, (_, domain: string) => `@${domainToUnicode(domain)}`);

test("any event that is taken becomes a well-formed mail", async () => {
  await fc.assert(
    fc.asyncProperty(events, async (body) => {
      const parsed = parseEvent(body);
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
      const { event } = parsed;
      const mail = render(event, "msg_01");
      const raw = compose(mail, SENDER, DATE);

      const bytes = raw.toString("latin1");
      expect(bytes.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
      expect(bytes.split("\r\n").filter((line) => line.length > 998)).toEqual([]);
      const names = bytes
        .slice(0, bytes.indexOf("\r\n\r\n"))
        .split(/\r\n(?! )/)
        .map((line) => line.split(":")[0]);
      expect(names).toEqual([
        ...[
          "From",
          "To",
          "Subject",
          "Message-ID",
          "Date",
          "MIME-Version",
          "Auto-Submitted",
          "X-Auto-Response-Suppress",
        ],
        ...["Content-Language", "X-Postpaid-Message", "Content-Type"],
      ]);

      const read = await simpleParser(raw);
      expect(mailboxesOf(read.to).map(({ address }) => shown(address))).toEqual([shown(event.data.customer.email)]);
      expect(read.subject).toBe(mail.subject.trim());
      expect(read.text).toBe(mail.text);
      expect(read.html).toBe(mail.html);
      expect(read.attachments).toEqual([]);

      const all = `${mail.subject}\n${mail.text}\n${mail.html}`;
      expect(all).not.toMatch(/undefined|null|\[object|NaN|https?:|www\.|\(\)$/i);
      expect(mail.text).not.toMatch(/\n\n\n|^\s|: *\n/);
      expect(mail.subject).not.toMatch(/[\p{Cc}]|\(\)/u);
      expect(unbalanced(mail.html)).toEqual([]);
      for (const part of [mail.subject, mail.text]) {
        for (const line of part.split("\n")) expect(depthOf(line)).toBe(0);
      }
    }),
    { numRuns: 1_000 },
  );
}, 60_000);

/** Isolates that are still open at the end of a line; -1: more are closed than opened. */
function depthOf(line: string): number {
  let depth = 0;
  for (const [sign] of line.matchAll(/[\u2066-\u2069]/g)) {
    depth += sign === "\u2069" ? -1 : 1;
    if (depth < 0) return -1;
  }
  return depth;
}
