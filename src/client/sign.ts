/*
 * Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, by WebCrypto.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export interface Signer {
  /** For one try: the timestamp is of now, because the service refuses one that is over 5 minutes off. */
  headersFor(id: string, body: Uint8Array): Promise<Record<string, string>>;
}

/**
 * @param key any text, whose UTF-8 bytes are the HMAC key; or base64 behind `whsec_`
 * @param now epoch ms
 * @throws TypeError when the key is empty, or not base64 behind `whsec_`
 */
export function createSigner(key: string, now: () => number): Signer {
  const bytes = bytesOf(key);
  let imported: Promise<CryptoKey> | undefined;
  return {
    async headersFor(id, body) {
      imported ??= crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
      const timestamp = String(Math.floor(now() / 1000));
      const head = new TextEncoder().encode(`${id}.${timestamp}.`);
      const signed = new Uint8Array(head.length + body.length);
      signed.set(head);
      signed.set(body, head.length);
      const mac = new Uint8Array(await crypto.subtle.sign("HMAC", await imported, signed));
      return {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": `v1,${btoa(String.fromCharCode(...mac))}`,
      };
    },
  };
}

function bytesOf(key: string): Uint8Array<ArrayBuffer> {
  const bytes = key.startsWith("whsec_") ? decodeBase64(key.slice(6)) : new TextEncoder().encode(key);
  if (bytes.length === 0) throw new TypeError("key is empty");
  return bytes;
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  } catch (cause) {
    throw new TypeError("key is not base64 behind whsec_", { cause });
  }
}
