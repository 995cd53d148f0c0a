/*
 * Who may call. Producers hold an ingest key and send it as a bearer token, or sign with it (Standard
 * Webhooks); people hold the admin token. Several ingest keys are valid at once, so that one can be
 * replaced without a gap. Tokens are compared as SHA-256 digests, against every key to the end, so that
 * the time it takes says nothing about how much of a guess was right, or which key it was near.
 */
import { createHmac, hash, timingSafeEqual } from "node:crypto";
import type { Context, MiddlewareHandler } from "hono";
import { Webhook } from "standardwebhooks";
import { parseSigningKey } from "../domain/signingKey.ts";
import { type Problem, problem, refuse } from "./problem.ts";
import type { RefusalReason, Refusals } from "./refusals.ts";

export interface Auth {
  isIngest(authorization: string | null): boolean;
  isAdmin(authorization: string | null): boolean;
  /** Why the Standard Webhooks headers do not vouch for the body; undefined when they do. */
  signatureFault(headers: Headers, body: Uint8Array): string | undefined;
  /** The 401, once it may be answered. */
  refusal(c: Context, detail: string): Promise<Problem>;
}

const WEBHOOK_HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;

export function createAuth(ingestKeys: readonly string[], adminToken: string, refusals: Refusals): Auth {
  const ingestDigests = ingestKeys.map(digest);
  const adminDigests = [digest(adminToken)];
  const verifiers = ingestKeys.map(verifierOf);
  return {
    isIngest: (authorization) => holdsOneOf(ingestDigests, authorization),
    isAdmin: (authorization) => holdsOneOf(adminDigests, authorization),
    signatureFault(headers, body) {
      const payload = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
      const signed: Record<string, string> = {};
      for (const name of WEBHOOK_HEADERS) signed[name] = headers.get(name) ?? "";
      // The library signs what it reads of it.
      if (!/^\d{1,12}$/.test(signed["webhook-timestamp"] ?? "")) return "webhook-timestamp must be seconds, in digits";
      let fault: string | undefined = "There is no key to verify it with";
      for (const verifier of verifiers) {
        fault = faultOf(verifier, payload, signed);
        if (fault === undefined) break; // who gets here holds the key: there is nothing left to guess
      }
      return fault;
    },
    async refusal(c, detail) {
      await refusals.refused(c.req.raw, c.env, presented(c.req.raw.headers));
      return problem("unauthorized", detail);
    },
  };
}

/** True when any Standard Webhooks header is there. */
export function claimsSignature(headers: Headers): boolean {
  return WEBHOOK_HEADERS.some((name) => headers.has(name));
}

export function requireAdmin(auth: Auth): MiddlewareHandler {
  return async (c, next) => {
    const authorization = authorizationOf(c);
    if (auth.isAdmin(authorization)) return next();
    const detail = auth.isIngest(authorization)
      ? "This is an ingest key. This route takes the admin token."
      : "This route takes Authorization: Bearer <admin token>.";
    return refuse(await auth.refusal(c, detail));
  };
}

export function requireReader(auth: Auth): MiddlewareHandler {
  return async (c, next) => {
    const authorization = authorizationOf(c);
    if (auth.isIngest(authorization) || auth.isAdmin(authorization)) return next();
    const detail = "This route takes Authorization: Bearer, with an ingest key or the admin token.";
    return refuse(await auth.refusal(c, detail));
  };
}

function presented(headers: Headers): RefusalReason {
  if (headers.has("authorization")) return "token";
  return claimsSignature(headers) ? "signature" : "missing";
}

function authorizationOf(c: Context): string | null {
  return c.req.raw.headers.get("authorization");
}

function digest(token: string): Buffer {
  return hash("sha256", token, "buffer");
}

function holdsOneOf(digests: readonly Buffer[], authorization: string | null): boolean {
  const token = /^bearer +(\S+)$/i.exec(authorization ?? "")?.[1];
  if (token === undefined) return false;
  const presented = digest(token);
  let found = false;
  for (const known of digests) if (timingSafeEqual(known, presented)) found = true;
  return found;
}

function verifierOf(key: string): Webhook {
  const secret = parseSigningKey(key);
  const webhook = new Webhook(secret, { format: "raw" });
  // The library signs text: a body that is not UTF-8 would be checked as another one. This signs the bytes.
  webhook.sign = (id, at, payload) => {
    const head = `${id}.${Math.floor(at.getTime() / 1000)}.`;
    return `v1,${createHmac("sha256", secret).update(head).update(payload).digest("base64")}`;
  };
  return webhook;
}

function faultOf(verifier: Webhook, payload: Buffer, headers: Record<string, string>): string | undefined {
  try {
    verifier.verify(payload, headers, { jsonParse: false });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
