import { describe, expect, test } from "bun:test";
import { checkStrength, parseSigningKey } from "../../src/domain/signingKey.ts";

describe("a signing key", () => {
  test.each([
    ["plain", "plain"],
    ["whsec_c2VjcmV0", "secret"],
    ["whsec_YWI=", "ab"],
    ["whsec_YWI", "ab"],
  ])("%s signs with the bytes of %j", (key, bytes) => {
    expect(parseSigningKey(key).toString()).toBe(bytes);
  });

  test.each(["", "two words", "schlüssel", "line\n", "whsec_", "whsec_***", "whsec_a"])("%j is refused", (key) => {
    expect(() => parseSigningKey(key)).toThrow(/^a signing key (?!.*\*\*\*)/);
  });
});

describe("the room of a key", () => {
  test.each([
    ["1".repeat(39), true],
    ["1".repeat(38), false],
    ["0123456789abcdef".repeat(2), true],
    ["0123456789ABCDEF".repeat(2).slice(1), false],
    ["abcdefghijklmnopqrstuv", true],
    ["abcdefghijklmnopqrstu", false],
    ["!bcdefghijklmnopqrst", true],
    ["!bcdefghijklmnopqrs", false],
    [`whsec_${Buffer.alloc(16).toString("base64")}`, true],
    [`whsec_${Buffer.alloc(15).toString("base64")}`, false],
    ["whsec_AA", false],
    ["a", false],
  ])("%s: enough is %p", (key, enough) => {
    const check = () => checkStrength("ADMIN_TOKEN", key);
    if (enough) expect(check).not.toThrow();
    else expect(check).toThrow(/^ADMIN_TOKEN has room for \d+ bits in one key, needed are 128/);
  });
});
