const LEAST_BITS = 128;

/** Bits for each character, the smallest alphabet first. */
const ALPHABETS: readonly [RegExp, number][] = [
  [/^\d+$/, Math.log2(10)],
  [/^[\da-f]+$/i, 4],
  [/^[\w+/=-]+$/, 6],
  [/^/, Math.log2(94)],
];

/**
 * Refuses a key that can be guessed: one whose length, in the alphabet that it is written in, has room for fewer than
 * 128 bits (NIST SP 800-131A). How random it is nobody can tell.
 * @throws with the room that it has, beginning with `name`; never with the key
 * @example checkStrength("ADMIN_TOKEN", "a") // throws: ADMIN_TOKEN has room for 4 bits in one key, …
 */
export function checkStrength(name: string, key: string): void {
  const bits = roomBits(key);
  if (bits >= LEAST_BITS) return;
  throw new Error(
    `${name} has room for ${Math.floor(bits)} bits in one key, needed are ${LEAST_BITS} (openssl rand -hex 32)`,
  );
}

function roomBits(key: string): number {
  if (key.startsWith("whsec_")) return parseSigningKey(key).length * 8;
  const [, perCharacter] = ALPHABETS.find(([alphabet]) => alphabet.test(key)) as [RegExp, number];
  return key.length * perCharacter;
}

/**
 * The bytes that a key signs with (Standard Webhooks): what its base64 behind `whsec_` says, or its own.
 * @throws with what it must be; never with the key
 * @example parseSigningKey("whsec_c2VjcmV0").toString() // "secret"
 */
export function parseSigningKey(key: string): Buffer {
  if (!/^[\x21-\x7e]+$/.test(key)) throw new Error("a signing key must be printable ASCII characters");
  if (!key.startsWith("whsec_")) return Buffer.from(key);
  const base64 = key.slice("whsec_".length);
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2,3}={0,2})?$/.test(base64) || base64 === "") {
    throw new Error("a signing key begins with whsec_, and what follows is not base64");
  }
  return Buffer.from(base64, "base64");
}
