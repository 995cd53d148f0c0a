/* GET /openapi.json: OpenAPI 3.1, made from the rows of the routes and the schemas that check and answer. */
import type { Hono } from "hono";
import { z } from "zod";
import {
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
  type ZodOpenApiResponseObject,
} from "zod-openapi";
import { PROBLEM_KINDS, PROBLEM_TYPE, typeOf } from "./problem.ts";
import { type Access, type Answer, REFUSALS, type RefusalStatus, type Route, refusalsOf, TAGS } from "./route.ts";
import { problemReply } from "./schemas.ts";
import { WEBHOOKS } from "./webhooks.ts";

const DESCRIPTION = `A payment completes, an event is posted, the customer gets the mail.

Every error is a problem document (RFC 9457) whose \`type\` is stable: ${PROBLEM_KINDS.map((kind) => `\`${typeOf(kind)}\``).join(", ")}.`;

const SIGNATURE = `Standard Webhooks: \`webhook-id\`, \`webhook-timestamp\` (at most 5 minutes off) and \`webhook-signature\`. The HMAC key is an ingest key's UTF-8 bytes or, for a key that begins with \`whsec_\`, the base64 behind it.`;

const SECURITY: Record<Access, Record<string, never[]>[]> = {
  producer: [{ ingestKey: [] }, { signature: [] }],
  reader: [{ ingestKey: [] }, { adminToken: [] }],
  admin: [{ adminToken: [] }],
  stripe: [{ stripeSignature: [] }],
  open: [],
};

export function openapiRoutes(app: Hono, routes: readonly Route[]): void {
  let document: string | undefined; // made when it is first asked for: it costs as much as a start
  app.get("/openapi.json", () => {
    document ??= JSON.stringify(build(routes));
    return new Response(document, { headers: { "content-type": "application/json" } });
  });
}

function build(routes: readonly Route[]) {
  return createDocument({
    openapi: "3.1.0",
    info: { title: "postpaid", version: "1", description: DESCRIPTION, license: { name: "MIT", identifier: "MIT" } },
    servers: [{ url: "/", description: "The service that this document comes from" }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths: pathsOf(routes),
    webhooks: WEBHOOKS,
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

function pathsOf(routes: readonly Route[]): ZodOpenApiPathsObject {
  const paths: ZodOpenApiPathsObject = {};
  for (const row of routes) {
    const path = row.path.replaceAll(/:(\w+)/g, "{$1}");
    paths[path] = { ...paths[path], [row.method]: operationOf(row) };
  }
  return paths;
}

function operationOf(row: Route): ZodOpenApiOperationObject {
  const { name, tag, summary, about, access, params, headers, query, body, answers } = row;
  const responses: ZodOpenApiOperationObject["responses"] = {};
  for (const [status, one] of Object.entries(answers)) responses[status as `${2}${number}`] = answerOf(one);
  for (const status of refusalsOf(row)) responses[`${status}` as `${4}${number}`] = refusalOf(status);
  return {
    operationId: name,
    summary,
    ...(about !== undefined && { description: about }),
    tags: [tag],
    security: SECURITY[access],
    requestParams: { ...(params && { path: params }), ...(query && { query }), ...(headers && { header: headers }) },
    ...(body && {
      requestBody: {
        required: body.required ?? false,
        content: {
          "application/json": { schema: body.schema, ...(body.example !== undefined && { example: body.example }) },
          ...body.also,
        },
      },
    }),
    responses,
  };
}

function answerOf({ about, schema, type = "application/json" }: Answer): ZodOpenApiResponseObject {
  return { description: about, ...(schema && { content: { [type]: { schema } } }) };
}

function refusalOf(status: RefusalStatus): ZodOpenApiResponseObject {
  const content = { [PROBLEM_TYPE]: { schema: problemReply } };
  return { description: REFUSALS[status], content, ...headersOf(status) };
}

function headersOf(status: RefusalStatus): Pick<ZodOpenApiResponseObject, "headers"> {
  if (status === 401) return { headers: z.object({ "WWW-Authenticate": z.literal("Bearer") }) };
  if (status === 503) return { headers: z.object({ "Retry-After": z.string().meta({ description: "Seconds" }) }) };
  return {};
}
