import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readAddress } from "../../../src/domain/door/address.ts";

const label = "d".repeat(63);
const domain = `${label}.${label}.${label}.com`;
/** 254 bytes in all, with a domain of labels of at most 63. */
const longest = `${"l".repeat(253 - domain.length)}@${domain}`;

function addressOf(given: string): string | undefined {
  const read = readAddress(given);
  return read.ok ? read.address : undefined;
}

describe("an address is taken", () => {
  test.each([
    "an@example.com",
    "a@b",
    "1@2.3",
    "!#$%&'*+/=?^_`{|}~-@example.com",
    `${"l".repeat(64)}@example.com`,
    `a@${label}.com`,
    "a@xn--p1ai.xn--90ais",
    "a@r3---sn.example",
    '"an smith"@example.com',
    '"an@home"@example.com',
    '"a\\"b\\\\c"@example.com',
    '"tran..an"@docomo.ne.jp',
    longest,
  ])("as it is: %s", (given) => {
    expect(readAddress(given)).toEqual({ ok: true, address: given, changed: false });
  });

  test.each([
    ["AN.binh+tag@Example.COM", "AN.binh+tag@example.com", false],
    [" an@example.com\r\n", "an@example.com", false],
    ["tran..an@docomo.ne.jp", '"tran..an"@docomo.ne.jp', true],
    ["tran.an.@docomo.ne.jp", '"tran.an."@docomo.ne.jp', true],
    [".tran@docomo.ne.jp", '".tran"@docomo.ne.jp', true],
    ['"an"@example.com', "an@example.com", true],
    ['"a\\n"@example.com', "an@example.com", true],
    ["an@bücher.example", "an@xn--bcher-kva.example", true],
    ["an@BÜCHER.example", "an@xn--bcher-kva.example", true],
    ["an@bu\u0308cher.example", "an@xn--bcher-kva.example", true],
    ["an@việt.example", "an@xn--vit-5kz.example", true],
    ["an@straße.example", "an@xn--strae-oqa.example", true],
    ["an@i❤.example", "an@xn--i-7iq.example", true],
    ["an@אבג.example", "an@xn--4dbcd.example", true],
    ["an@example。com", "an@example.com", true],
    ["ａｎ＠ｅｘａｍｐｌｅ．ｃｏｍ", "an@example.com", true],
    ["an@１.２", "an@1.2", true],
    ["an@①.②", "an@1.2", true],
    ["an@example.com.", "an@example.com", true],
    ["an@example.com,", "an@example.com", true],
    ["an @ example.com", "an@example.com", true],
    ["an\u00a0@example.com\u00a0", "an@example.com", true],
    ["\u200ban@example.com", "an@example.com", true],
    ["\u202aan@example.com\u202c", "an@example.com", true],
    ["mailto:an@example.com", "an@example.com", true],
    ["<an@example.com>", "an@example.com", true],
    ["An <an@example.com>", "an@example.com", true],
    ['"Nguyễn, An" <an@example.com>', "an@example.com", true],
    ['"binh@example.org" <an@example.com>', "an@example.com", true],
    ["an@example.com <an@example.com>", "an@example.com", true],
  ])("in its own form: %s is %s", (given, address, changed) => {
    expect(readAddress(given)).toEqual({ ok: true, address, changed });
    expect(readAddress(address)).toEqual({ ok: true, address, changed: false });
  });

  test("in a form that is its own, whatever was written", () => {
    const piece = fc.constantFrom(
      "an",
      "@",
      ".",
      '"',
      "\\",
      " ",
      "example",
      "ü",
      "<",
      ">",
      ",",
      "\u200b",
      "＠",
      "-",
      "1",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const address = addressOf(pieces.join(""));
        if (address === undefined) return;
        expect(readAddress(address)).toEqual({ ok: true, address, changed: false });
        expect(address).toMatch(/^[\x20-\x7e]{3,254}$/);
      }),
      { numRuns: 20_000 },
    );
  });
});

describe("an address is refused", () => {
  test.each([
    ["beyond 254 bytes", longest.replace("@", "l@")],
    ["with a local part beyond 64 bytes", `${"l".repeat(65)}@example.com`],
    ["with a local part beyond 64 bytes once it is quoted", `${"l".repeat(61)}..@example.com`],
    ["with a label beyond 63 bytes", `a@${"d".repeat(64)}.com`],
    ["with a label beyond 63 bytes once it is mapped", `a@${"ü".repeat(64)}.com`],
    ["with comments", "an(comment)@example.com"],
    ["with a comment behind it", "an@example.com (An)"],
    ["that are two", "an@example.com, binh@example.com"],
    ["that are two, with a semicolon", "an@example.com;binh@example.com"],
    ["that are two, with a blank", "an@example.com binh@example.com"],
    ["that are two, with names", "An <an@example.com>, Bình <binh@example.com>"],
    ["that are two, one without brackets", "binh@example.com, An <an@example.com>"],
    ["that is a group", "team: an@example.com;"],
    ["with a bracket in quotes", '"a<b"@example.com'],
    ["with an end of brackets in quotes", '"a\\>b"@example.com'],
    ["that is a group with brackets", "team: <an@example.com>, b@example.com;"],
    ["with a route", "@relay.example:an@example.com"],
    ["with two @", "an@relay@example.com"],
    ["with another header", "an@example.com\r\nBcc: all@example.com"],
    ["with a break in its quotes", '"an\r\nx"@example.com'],
    ["without a local part", "@example.com"],
    ["without a local part in its quotes", '""@example.com'],
    ["without a domain", "an@"],
    ["without an @", "an"],
    ["of nothing", ""],
    ["with dots in a row in its domain", "an@example..com"],
    ["with a domain that begins with a dot", "an@.com"],
    ["with a domain that begins with a hyphen", "an@-example.com"],
    ["with a domain that ends in a hyphen", "an@example-.com"],
    ["with a domain that no host has", "an@exa_mple.com"],
    ["with an address literal", "an@[127.0.0.1]"],
    ["with a blank in it", "an smith@example.com"],
    ["with a backslash in it", "an\\@example.com"],
    ["with a path in its domain", "an@ü/x.com"],
    ["with a percent in its domain", "an@ü%41.com"],
    ["with a domain that mixes directions", "an@א1a.example"],
    ["with what stands for half a character", "an@example.com\ufffd"],
    ["with a query", "mailto:an@example.com?subject=x"],
    ["with letters that only SMTPUTF8 takes", "nguyễn@example.com"],
    ["of another script that looks the same", "аn@example.com"],
  ])("%s", (_, given) => {
    expect(addressOf(given)).toBeUndefined();
  });

  test("with a word about why", () => {
    const whyOf = (given: string) => {
      const read = readAddress(given);
      return read.ok ? "" : read.why;
    };
    expect(whyOf("nguyễn@example.com")).toContain("beyond ASCII before the @");
    expect(whyOf("an@א1a.example")).toContain("UTS #46");
    expect(whyOf("an")).toContain("must be one e-mail address");
    expect(whyOf(longest.replace("@", "l@"))).toContain("254");
  });

  test("in a time that its length does not blow up", () => {
    const startedAt = performance.now();
    for (const hostile of ["a.".repeat(30_000), `a@${"a.".repeat(30_000)}`, '"'.repeat(900), '"\\'.repeat(450)]) {
      readAddress(hostile);
      readAddress(hostile.slice(0, 1_000));
      readAddress(`${hostile.slice(0, 900)} <`);
    }
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});
