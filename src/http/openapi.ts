/* GET /openapi.json: OpenAPI 3.1, made from the schemas that check and answer. */
import type { Hono } from "hono";
import { createDocument } from "zod-openapi";
import { PATHS } from "./paths.ts";
import { PROBLEM_KINDS, typeOf } from "./problem.ts";

const DESCRIPTION = `A payment completes, an event is posted, the customer gets the mail.

Every error is a problem document (RFC 9457) whose \`type\` is stable: ${PROBLEM_KINDS.map((kind) => `\`${typeOf(kind)}\``).join(", ")}.`;

const SIGNATURE = `Standard Webhooks: \`webhook-id\`, \`webhook-timestamp\` (at most 5 minutes off) and \`webhook-signature\`. The HMAC key is an ingest key's UTF-8 bytes or, for a key that begins with \`whsec_\`, the base64 behind it.`;

export function openapiRoutes(app: Hono): void {
  let document: string | undefined; // made when it is first asked for: it costs as much as a start
  app.get("/openapi.json", () => {
    document ??= JSON.stringify(build());
    return new Response(document, { headers: { "content-type": "application/json" } });
  });
}

function build() {
  return createDocument({
    openapi: "3.1.0",
    info: { title: "postpaid", version: "1", description: DESCRIPTION },
    paths: PATHS,
    components: {
      securitySchemes: {
        stripeSignature: {
          type: "apiKey",
          in: "header",
          name: "Stripe-Signature",
          description: "Made by Stripe with a secret in `STRIPE_WEBHOOK_SECRETS`; at most 5 minutes off.",
        },
        ingestKey: { type: "http", scheme: "bearer", description: "An ingest key." },
        adminToken: { type: "http", scheme: "bearer", description: "The admin token." },
        signature: { type: "apiKey", in: "header", name: "webhook-signature", description: SIGNATURE },
      },
    },
  });
}
