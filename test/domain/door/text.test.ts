import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { cleanLine, lengthOf, shorten } from "../../../src/domain/door/text.ts";

describe("a text becomes one clean line", () => {
  test.each([
    ["as it is, in any script", "Đà Lạt 🚌 → Huế, 13時, שלום, “quoted” <b>&amp;</b>", undefined],
    ["composed", "Nguye\u0302\u0303n", "Nguyễn"],
    ["without a line's end", "Nguyễn Văn An\r\n", "Nguyễn Văn An"],
    ["with blanks in the place of tabs", "An\tNguyễn", "An Nguyễn"],
    ["of what Word breaks a line with", "Hà Nội\u000bSa Pa", "Hà Nội Sa Pa"],
    ["of what PDF breaks a line with", "Hà Nội\u2028Sa Pa\u2029", "Hà Nội Sa Pa"],
    ["without other controls", "\u0000A\u0007n\u007f \u0085B\u009fình", "A n B ình"],
    ["with half an emoji replaced", "An \ud83d", "An \ufffd"],
    ["without overrides and embeddings of direction", "\u202eAn\u202c \u202aB\u202b\u202d", "An B"],
    ["without an isolate that nobody closes", "\u2066An \u2068Bình", "An Bình"],
    ["without the end of an isolate that nobody began", "An\u2069 Bình", "An Bình"],
    ["with isolates that are balanced", "\u2068שלום\u2069 (1042)", undefined],
    ["with marks of direction", "C++\u200e שלום", undefined],
    ["without what has no width", "\ufeffBK\u200b-\u206010\u00ad42", "BK-1042"],
    ["with the joiners that scripts and emoji need", "نمی\u200cخواهم 👨\u200d👩\u200d👧 क्\u200dष", undefined],
    ["with the flag of a part of a country", "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}", undefined],
    ["with single blanks", " An   Nguyễn \u00a0 Bình ", "An Nguyễn Bình"],
    ["with a blank of the language's own", "山田\u3000太郎", undefined],
    ["of which nothing is left", " \r\n\t\u00a0\u2003\u3000", ""],
    ["of which nothing is seen", "\u200d\u2066\u2069\u200f\u3164\u2800", ""],
    ["that composes where something was taken out", "e\u200b\u0301", "é"],
  ])("%s", (_, given, clean = given) => {
    expect(cleanLine(given)).toBe(clean);
  });

  test("once: a clean line stays as it is, whatever it came from", () => {
    const characters = fc.string({ unit: "binary", maxLength: 40 });
    const oddOnes =
      "\u2066 \u2067 \u2068 \u2069 \u200b \u200d \u202a \u202e \u0300 \u0301 e \u00ad \ud800 \udc00 \u1100 \u1161 \r";
    const odd = fc.array(fc.constantFrom(" ", ...oddOnes.split(" "))).map((some) => some.join(""));
    fc.assert(
      fc.property(fc.oneof(characters, odd), fc.integer({ min: 1, max: 12 }), (given, length) => {
        const line = cleanLine(given);
        const short = shorten(line, length);
        expect(cleanLine(line)).toBe(line);
        expect(cleanLine(short)).toBe(short);
        expect(shorten(short, length)).toBe(short);
        expect(lengthOf(short)).toBeLessThanOrEqual(length);
        expect(short.isWellFormed() && short === short.normalize("NFC")).toBeTrue();
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
        expect(short).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e]/);
      }),
      { numRuns: 3_000 },
    );
  });

  test("in a time that its length does not blow up", () => {
    const startedAt = performance.now();
    for (const hostile of [
      "a ".repeat(30_000),
      "\u2068".repeat(60_000),
      "e\u0301".repeat(30_000),
      " ".repeat(60_000),
    ]) {
      shorten(cleanLine(hostile), 200);
    }
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe("a line that is too long", () => {
  test("ends in … and has no grapheme cut in two", () => {
    expect(shorten("ộ".repeat(200), 200)).toBe("ộ".repeat(200));
    expect(shorten("ộ".repeat(201), 200)).toBe(`${"ộ".repeat(199)}…`);
    const family = "👨\u200d👩\u200d👧";
    expect(shorten(family.repeat(3), 11)).toBe(`${family.repeat(2)}…`);
    expect(shorten(`abc ${family}`, 6)).toBe("abc…");
    expect(shorten("🇻🇳🇻🇳🇻🇳", 5)).toBe("🇻🇳🇻🇳…");
  });

  test("counts what Unicode counts: an emoji is one character", () => {
    expect(shorten("😀".repeat(200), 200)).toBe("😀".repeat(200));
    expect(shorten("😀".repeat(201), 200)).toBe(`${"😀".repeat(199)}…`);
  });

  test("is cut somewhere when it is one letter without an end", () => {
    const short = shorten(`a${"\u0336".repeat(1_000)}`, 200);
    expect(short).toStartWith("a\u0336");
    expect(lengthOf(short)).toBe(200);
  });

  test("closes no isolate that it does not begin", () => {
    expect(shorten(`\u2068${"a".repeat(20)}\u2069`, 10)).toBe(`${"a".repeat(8)}…`);
  });
});
