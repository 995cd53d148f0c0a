import { describe, expect, test } from "bun:test";
import { canonicalLocale } from "../../../src/domain/door/locale.ts";

describe("a language is read", () => {
  test.each([
    ["vi", "vi"],
    ["en-GB", "en-GB"],
    ["EN-us", "en-US"],
    ["zh-hant-tw", "zh-Hant-TW"],
    ["es-419", "es-419"],
    ["de-CH-1996", "de-CH-1996"],
    ["vi_VN", "vi-VN"],
    ["VI_vn", "vi-VN"],
    ["vi_VN.UTF-8", "vi-VN"],
    ["de_AT.ISO-8859-15@euro", "de-AT"],
    ["ca_ES@valencia", "ca-ES-valencia"],
    ["sr_RS.UTF-8@latin", "sr-Latn-RS"],
    ["zh_TW_#Hant", "zh-TW"],
    ["iw_IL", "he-IL"],
    ["vi-VN,vi;q=0.9", "vi-VN"],
    ["fr;q=0.3, vi;q=0.8, en;q=0.5", "vi"],
    ["*;q=0.5, en;q=0, x, vi_VN ; q=0.1", "vi-VN"],
    [" vi\n", "vi"],
    ["vi;q=high", "vi"],
    ["vi;q=9, en", "en"],
    ["C, vi", "vi"],
    ["en-", "en"],
    ["en-US@posix", "en-US"],
    ["en_US_POSIX", "en-US"],
  ])("%s as %s", (given, tag) => {
    expect(canonicalLocale(given)).toBe(tag);
    expect(canonicalLocale(tag)).toBe(tag);
  });

  test.each([
    ...[
      "C",
      "C.UTF-8",
      "POSIX",
      "x",
      "*",
      "auto",
      "root",
      "und",
      "english",
      "Vietnamese",
      "vn",
      "xx",
      "en GB",
      "tiếng Việt",
    ],
    ...["", ",", "--", "i-klingon", "vi;q=0", "e".repeat(36), `en-${"a".repeat(40)}`, "vi,".repeat(1_000)],
  ])("not: %s", (given) => {
    expect(canonicalLocale(given)).toBeUndefined();
  });

  test("with an extension, as far as there is room", () => {
    expect(canonicalLocale("th-TH-u-ca-buddhist-nu-thai")).toBe("th-TH-u-ca-buddhist-nu-thai");
    expect(canonicalLocale("th-TH-u-ca-buddhist-nu-thai-x-mine-and-more")).toBe("th-TH");
  });
});
