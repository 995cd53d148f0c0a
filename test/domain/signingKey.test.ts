import { describe, expect, test } from "bun:test";
import { parseSigningKey } from "../../src/domain/signingKey.ts";

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
