import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { simpleParser } from "mailparser";
import { unlinked, unlinkedId } from "../../src/mail/links.ts";

const shown = (text: string) => text.replaceAll("\u2060", "~");

/** As a mail program with all top-level domains makes links of plain text; `.example` is none of them. */
async function linksIn(text: string): Promise<string[]> {
  const raw = `Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n${btoa(
    String.fromCharCode(...Buffer.from(text)),
  )}`;
  const { textAsHtml = "" } = await simpleParser(raw);
  return [...textAsHtml.matchAll(/<a [^>]*href="([^"]*)"/g)].map(([, href = ""]) => href);
}

const LINKS = [
  ...[
    "https://promo.com/x?y=1",
    "HTTP://promo.com",
    "hxxp://promo.com",
    "//promo.com",
    "ftp.promo.com",
    "www.promo.com",
  ],
  ...["promo.com", "Promo.Com", "promo.com.", "(promo.com)", "promo.com/x", "promo.com:80/x", "bit.ly/x", "t.co"],
  ...["an@promo.com", "mailto:an@promo.com", "mailto:an", "203.0.113.7/x", "http://203.0.113.7", "http://localhost"],
  ...["example。com", "example．com", "ｐｒｏｍｏ．ｃｏｍ", "пример.рф", "xn--e1afmkfd.xn--p1ai", "pro\u200dmo.com"],
];

describe("a word that mail programs would make a link of", () => {
  test.each(LINKS)("is none any more in a title: %s", async (word) => {
    const text = `See ${word} now`;
    expect(await linksIn(unlinked(text))).toEqual([]);
    expect(unlinked(text)).not.toBe(text);
    expect(unlinked(text).replaceAll("\u2060", "")).toBe(text);
  });

  test.each(LINKS.filter((word) => !/^[(A-ZПｐ]|^example|^пример|^xn|^pro\u200d/u.test(word)))(
    "is none any more as an id: %s",
    async (word) => {
      expect(await linksIn(unlinkedId(word))).toEqual([]);
      expect(unlinkedId(word)).not.toBe(word);
    },
  );

  test("has no part left that is searched for", () => {
    expect(shown(unlinked("https://www.promo.example/x"))).toBe("https~:~/~/~www~.~promo~.~example~/~x");
  });

  test("is none in any text", async () => {
    const parts = fc.constantFrom(
      ...[
        "http",
        "https",
        "ftp",
        ":",
        "/",
        "//",
        "www",
        ".",
        "promo",
        "com",
        "vn",
        "@",
        "an",
        " ",
        "ü",
        "。",
        "-",
        "1",
      ],
      ...["mailto:", "(", ")", ",", "Dr", "Le", "?", "#"],
    );
    await fc.assert(
      fc.asyncProperty(fc.array(parts, { maxLength: 12 }), async (some) => {
        expect(await linksIn(unlinked(some.join("")))).toEqual([]);
      }),
      { numRuns: 2_000 },
    );
  });
});

test.each([
  ...["Hà Nội → Sa Pa, sleeper bus", "Dr.Nguyen's tour", "St.John", "Room 1.5m", "1.000.000", "Ticket: 21:30", "24/7"],
  ...["and/or", "Seat 4A × 2", "Visa ending 4242", "…", "x:y", "100.000 ₫."],
])("a title that is no link stays as it is: %s", (text) => {
  expect(unlinked(text)).toBe(text);
});

test.each([
  ...[
    "BK-1042",
    "1042.HN",
    "1042.hn",
    "ĐH-1042",
    "n°110",
    "BK.2026.01",
    "2026/11/42",
    "inv:2026/1",
    "BK 1042",
    "#1042.",
  ],
  ...["pay_1.2", "cs_test_a1", "R:12", "BK.HN"],
])("an id that is no link can be copied: %s", (id) => {
  expect(unlinkedId(id)).toBe(id);
});
