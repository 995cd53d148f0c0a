import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type AddressObject, simpleParser } from "mailparser";
import { compose } from "../../src/mail/compose.ts";
import { parseSender, type Sender } from "../../src/mail/sender.ts";
import { MAIL } from "./fixtures.ts";

const SENDER = parseSender("Sao Việt <ve@example.com>");
const DATE = new Date("2026-11-24T09:30:00Z");

const linesOf = (raw: Buffer) => raw.toString("latin1").split("\r\n");

describe("a composed mail", () => {
  const raw = compose(MAIL, SENDER, DATE);

  test("is read by a mail client as it was meant", async () => {
    const parsed = await simpleParser(raw);
    expect(parsed.subject).toBe(MAIL.subject);
    expect(parsed.text).toBe(MAIL.text);
    expect(parsed.html).toBe(MAIL.html);
    expect(parsed.messageId).toBe(`<${MAIL.messageIdHeader}>`);
    expect(parsed.date).toEqual(DATE);
    expect(parsed.from?.value).toEqual([{ name: "Sao Việt", address: "ve@example.com" }]);
    expect((parsed.to as AddressObject).value).toEqual([{ name: "Nguyễn Văn An", address: "an@example.com" }]);
  });

  test.each(['"an smith"@example.com', '"a\\"n, <b@c>"@example.com', '"tran..an"@docomo.ne.jp'])(
    "is to an address whose local part is quoted: %s",
    async (address) => {
      for (const to of [{ address }, { address, name: "An" }]) {
        const line = linesOf(compose({ ...MAIL, to }, SENDER, DATE)).find((one) => one.startsWith("To: "));
        expect(line).toBe(to.name === undefined ? `To: ${address}` : `To: "An" <${address}>`);
        const parsed = await simpleParser(compose({ ...MAIL, to }, SENDER, DATE));
        expect((parsed.to as AddressObject).value).toHaveLength(1);
      }
    },
  );

  test("says that a machine wrote it, in which language, and for which message", () => {
    expect(linesOf(raw)).toEqual(
      expect.arrayContaining([
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: OOF, AutoReply",
        "Content-Language: vi",
        "X-Postpaid-Message: msg_01",
        "Message-ID: <msg_01@example.com>",
        "Date: Tue, 24 Nov 2026 09:30:00 +0000",
      ]),
    );
  });

  test("is the same each time", () => {
    expect(compose(MAIL, SENDER, DATE).equals(raw)).toBe(true);
  });
});

describe("whatever the mail says", () => {
  const words = fc.string({ unit: "grapheme", minLength: 1, maxLength: 200 }).map((text) => text.normalize("NFC"));
  /** Header text: clients trim it, so it has no spaces at its ends. */
  const headerWords = words.map((text) => text.replace(/\s+/g, " ").trim()).filter((text) => text !== "");
  const body = fc
    .array(fc.oneof(words, fc.constant(""), fc.constant("."), fc.constant("=_postpaid"), fc.constant("trailing \t")))
    .map((lines) => `${lines.map((line) => line.replace(/[\r\n]/g, "")).join("\n")}\n`);

  test("it comes out as it went in", async () => {
    await fc.assert(
      fc.asyncProperty(headerWords, headerWords, body, async (subject, name, text) => {
        const raw = compose(
          { ...MAIL, subject, text, html: text, to: { address: "an@example.com", name } },
          SENDER,
          DATE,
        );
        const parsed = await simpleParser(raw, { skipTextToHtml: true });
        expect(parsed.subject).toBe(subject);
        expect((parsed.to as AddressObject).value).toEqual([{ name, address: "an@example.com" }]);
        expect(parsed.text).toBe(text);
        expect(parsed.html as string).toBe(text);
      }),
      { numRuns: 300 },
    );
  });

  test("the lines are ASCII, short, and end in CRLF", () => {
    fc.assert(
      fc.property(words, words, body, (subject, name, text) => {
        const raw = compose(
          { ...MAIL, subject, text, html: text, to: { address: "an@example.com", name } },
          SENDER,
          DATE,
        );
        for (const line of linesOf(raw)) expect(line).toMatch(/^[\t\x20-\x7e]{0,100}$/);
        expect(raw.subarray(-2).toString()).toBe("\r\n");
      }),
    );
  });

  test("no header begins with what came from outside", () => {
    const inject = "x\r\nBcc: evil@example.com\r\n\r\nbody";
    const raw = compose({ ...MAIL, subject: inject, to: { address: "an@example.com", name: inject } }, SENDER, DATE);
    expect(linesOf(raw).filter((line) => /^(bcc|body)/i.test(line))).toEqual([]);
  });
});

describe("a mail that cannot be composed", () => {
  test.each([
    ["address", { ...MAIL, to: { address: "an@example.com>\r\nRCPT TO:<x@example.com" } }],
    ["address", { ...MAIL, to: { address: "án@example.com" } }],
    ["address", { ...MAIL, to: { address: "" } }],
    ["Message-ID", { ...MAIL, messageIdHeader: "msg_01@example.com>\r\nBcc: <x" }],
    ["language", { ...MAIL, language: "vi\r\nBcc: x" }],
    ["quoted address", { ...MAIL, to: { address: '"a\r\nb"@example.com' } }],
    ["end of a quoted address", { ...MAIL, to: { address: '"a"@example.com> <b@example.com' } }],
  ])("throws for a bad %s", (_, mail) => {
    expect(() => compose(mail, SENDER, DATE)).toThrow("cannot stand in a header");
  });
});

describe("the sender", () => {
  test.each([
    "=?utf-8?B?!!!?=",
    "=?utf-8?X?YQ==?=",
    "=?nope?B?YQ==?=",
    "=?utf-8?B?/////w==?=",
    "=?utf-8?Q?a=?=",
    "=?utf-8?Q?a=0D=0ABcc:_x?=",
    "=?utf-8?Q?Sao Vi=E1=BB=87t?=",
    "=?utf-8?Q?Sao",
  ])("%s is no name: what is encoded so cannot be decoded", (name) => {
    expect(() => parseSender(`${name} <ve@example.com>`)).toThrow(/^MAIL_FROM is .*, must have a name that can be dec/);
  });

  test("whose name was given encoded is encoded once, and read as it was meant", async () => {
    const sender = parseSender("=?utf-8?B?U2FvIFZp4buHdA==?= <ve@example.com>");
    const parsed = await simpleParser(compose(MAIL, sender, DATE));
    expect(parsed.from?.value).toEqual([{ name: "Sao Việt", address: "ve@example.com" }]);
  });

  test.each([
    ["ve@example.com", { address: "ve@example.com", domain: "example.com" }],
    ["Shop <ve@example.com>", { address: "ve@example.com", domain: "example.com", name: "Shop" }],
    ['"Shop, Inc." <ve@example.com>', { address: "ve@example.com", domain: "example.com", name: "Shop, Inc." }],
    ["<ve@example.com>", { address: "ve@example.com", domain: "example.com" }],
    ...[
      "=?utf-8?B?U2FvIFZp4buHdA==?=",
      "=?UTF-8?q?Sao_Vi=E1=BB=87t?=",
      '"=?utf-8?B?U2FvIFZp4buHdA?="',
      "=?utf-8*vi?Q?Sao?= =?utf-8?Q?_Vi=E1=BB?=  =?UTF-8?B?h3Q=?=",
      "Sao =?utf-8?Q?Vi=E1=BB=87t?=",
      "=?us-ascii?Q?Sao?= Việt",
    ].map((name): [string, Sender] => [
      `${name} <ve@example.com>`,
      { address: "ve@example.com", domain: "example.com", name: "Sao Việt" },
    ]),
    ["=?iso-8859-1?Q?Caf=E9?= <a@b.example>", { address: "a@b.example", domain: "b.example", name: "Café" }],
  ] as [string, Sender][])("%s is understood", (from, sender) => {
    expect(parseSender(from)).toEqual(sender);
  });

  test.each([
    "",
    "ve",
    "a@example.com, b@example.com",
    "Shop <a@example.com> <b@example.com>",
    "a b@example.com",
    "ve@exämple.com",
    "G: a@example.com;",
  ])("%p is refused by its name", (from) => {
    expect(() => parseSender(from)).toThrow(/^MAIL_FROM is .*, must be one address/);
  });
});
