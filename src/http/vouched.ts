/* The body of a producer, who vouches for it: by an ingest key, or by a signature made with one over the bytes. */
import type { Context } from "hono";
import { type Auth, claimsSignature } from "./auth.ts";
import { type Read, readBytes } from "./body.ts";

/** The bytes of a body that a producer vouches for. What needs no body to be refused is refused without one. */
export async function readVouched(c: Context, auth: Auth, maxBytes: number): Promise<Read<Uint8Array>> {
  const request = c.req.raw;
  const authorization = request.headers.get("authorization");
  const trusted = auth.isIngest(authorization);
  if (!trusted && !claimsSignature(request.headers)) {
    return { ok: false, problem: await auth.refusal(c, wanted(auth, authorization)) };
  }
  const body = await readBytes(request, maxBytes);
  if (!body.ok) return body;
  if (!trusted) {
    const fault = auth.signatureFault(request.headers, body.value);
    if (fault !== undefined) {
      const detail = `The webhook signature was not accepted: ${fault}.`;
      return { ok: false, problem: await auth.refusal(c, detail) };
    }
  }
  return body;
}

function wanted(auth: Auth, authorization: string | null): string {
  if (auth.isAdmin(authorization)) return "This is the admin token. This route takes an ingest key.";
  return "Send Authorization: Bearer <ingest key>, or Standard Webhooks headers made with an ingest key.";
}
