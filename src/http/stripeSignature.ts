/*
 * Stripe's signature scheme (docs.stripe.com/webhooks/signature): `Stripe-Signature: t=<epoch s>,v1=<hex>`, with
 * one v1 for each secret that is valid while secrets are rolled. The HMAC-SHA256 is over `<t>.<body>`, and its
 * key is the secret's text, `whsec_` included (Standard Webhooks takes the base64 behind it). Own code: Stripe's
 * library signs decoded text, so other bytes can pass as the body, and takes any timestamp from the future.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

const TOLERANCE_S = 300;

/** Why the header does not vouch for the body; undefined when it does. `now` is in epoch ms. */
export type StripeSignatureFault = (header: string, body: Uint8Array, now: number) => string | undefined;

export function createStripeVerifier(secrets: readonly string[]): StripeSignatureFault {
  return (header, body, now) => {
    const parts = header.split(",").map((part) => part.trim());
    const at = parts.find((part) => /^t=\d{1,12}$/.test(part))?.slice(2);
    const given = parts
      .filter((part) => /^v1=[0-9a-f]{64}$/.test(part))
      .map((part) => Buffer.from(part.slice(3), "hex"));
    if (at === undefined || given.length === 0) return "it has to be t=<epoch seconds>,v1=<64 hex digits>";
    // Every secret and every signature is compared to the end: the time it takes says nothing about a guess.
    let found = false;
    for (const secret of secrets) {
      const expected = createHmac("sha256", secret).update(`${at}.`).update(body).digest();
      for (const one of given) if (timingSafeEqual(expected, one)) found = true;
    }
    if (!found) return "no v1 in it was made over these bytes with a secret in STRIPE_WEBHOOK_SECRETS";
    if (Math.abs(now / 1000 - Number(at)) > TOLERANCE_S) return "its timestamp is more than 5 minutes off this clock";
    return undefined;
  };
}
