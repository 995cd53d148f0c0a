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
