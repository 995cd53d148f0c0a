/*
 * The team's own endpoint: one GET for each question, signed, so that it can refuse everybody else.
 *
 *   webhook-id         chk_ and a UUID, new for each request
 *   webhook-timestamp  seconds since 1970
 *   webhook-signature  v1, and the base64 of HMAC-SHA256(key, `${webhook-id}.${webhook-timestamp}.${path and query}`)
 *
 * These are the headers of Standard Webhooks; what stands for the body, which a GET has not, is the request's path
 * and query exactly as they were sent, percent-encoding and all: `/bookings/BK-1042/status?x=1`. The HMAC key is the
 * key's UTF-8 bytes or, for a key that begins with `whsec_`, the base64 behind it. With the library of the name:
 * `new Webhook(key, { format: "raw" }).verify(pathAndQuery, headers, { jsonParse: false })`.
 *
 *   200 { "status": "paid" | "pending" | "cancelled" }   that
 *   404                                                  not_found
 *   anything else, redirects too                         unavailable, with one line that says what came
 */
import { createHmac, randomUUID } from "node:crypto";
import { parseSigningKey } from "../domain/signingKey.ts";
import { withDeadline } from "./deadline.ts";
import { faultOf, readStatus, show, unavailable } from "./status.ts";
import type { BookingStatus, BookingStore } from "./store.ts";
import { parseUrlTemplate } from "./urlTemplate.ts";

export interface HttpSettings {
  /** See parseUrlTemplate. */
  urlTemplate: string;
  /** See parseSigningKey. */
  key: string;
  /** For connection, headers and body together. */
  timeoutMs: number;
  /** Epoch ms. */
  now: () => number;
}

const MAX_BODY_BYTES = 16 * 1024;

/**
 * @throws when `urlTemplate` or `key` cannot be right; after that, never
 * @example
 * const store = createHttpStore({
 *   urlTemplate: "https://shop.example/bookings/{bookingId}/status",
 *   key: "whsec_bXkgb3duIHNpZ25pbmcga2V5",
 *   timeoutMs: 2000,
 *   now: () => time.epochMs(),
 * });
 * await store.statusOf("BK-1042"); // { kind: "paid" }
 */
export function createHttpStore({ urlTemplate, key, timeoutMs, now }: HttpSettings): BookingStore {
  const template = parseUrlTemplate(urlTemplate);
  const secret = parseSigningKey(key);
  const source = template.label;

  async function ask(url: string, signal: AbortSignal): Promise<BookingStatus> {
    const response = await fetch(url, {
      headers: { accept: "application/json", "cache-control": "no-store", ...signatureOf(url, secret, now()) },
      redirect: "manual",
      // So that the limit below is one of what was sent, and a small body cannot grow to a large one.
      decompress: false,
      signal,
    });
    if (response.status === 200) return read(await textOf(response), source);
    await response.body?.cancel();
    if (response.status === 404) return { kind: "not_found" };
    const redirect = response.status >= 300 && response.status < 400;
    return unavailable(source, `it answered ${response.status}${redirect ? ", and redirects are not followed" : ""}`);
  }

  return {
    async statusOf(bookingId) {
      const url = template.urlFor(bookingId);
      if (url === undefined) return { kind: "not_found" };
      try {
        return await withDeadline(timeoutMs, (signal) => ask(url, signal));
      } catch (error) {
        return unavailable(source, faultOf(error));
      }
    },
    close: () => Promise.resolve(),
  };
}

function signatureOf(url: string, secret: Buffer, now: number): Record<string, string> {
  const { pathname, search } = new URL(url);
  const id = `chk_${randomUUID()}`;
  const timestamp = String(Math.floor(now / 1_000));
  const signature = createHmac("sha256", secret).update(`${id}.${timestamp}.${pathname}${search}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": `v1,${signature}` };
}

/** @throws Error when the body is over the limit; the connection is closed then, however much is still to come */
async function textOf(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) throw new Error(`it answered with more than ${MAX_BODY_BYTES / 1024} KiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

function read(text: string, source: string): BookingStatus {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return unavailable(source, `it answered with what is not JSON: ${show(text)}`);
  }
  if (typeof body !== "object" || body === null || !("status" in body)) {
    return unavailable(source, `it answered ${show(body)}, must be an object with a status`);
  }
  return readStatus(body.status, source);
}
