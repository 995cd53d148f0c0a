/* The routes as OpenAPI has them: what each takes, answers and refuses. */
import { z } from "zod";
import type { ZodOpenApiOperationObject, ZodOpenApiPathsObject, ZodOpenApiResponseObject } from "zod-openapi";
import { EVENT_EXAMPLE } from "../domain/example.ts";
import { PRIORITIES } from "../domain/lifecycle.ts";
import { MAX_BATCH_EVENTS } from "./batch.ts";
import { bulkInput, deadQuery, editInput } from "./dead.ts";
import { event } from "./eventSchema.ts";
import { messagesQuery } from "./messages.ts";
import { PROBLEM_TYPE } from "./problem.ts";
import * as replies from "./schemas.ts";
import { STRIPE_ABOUT, stripeInput, stripeReply } from "./stripe.ts";

type Refusal = keyof typeof REFUSALS;

const REFUSALS = {
  400: "Not readable or not valid; `errors` points at each bad field",
  401: "Credentials are missing or wrong",
  404: "No such thing",
  409: "Its state does not allow that",
  413: "Too large",
  415: "Compressed, or coded otherwise",
  421: "The Host is neither HOST, nor loopback, nor in PUBLIC_HOSTS",
  422: "The event's id was used for another event, which has it still",
  503: "Nothing was done, as far as is known; the same request again is safe",
} as const;

const PRODUCER = [{ ingestKey: [] }, { signature: [] }];
const READER = [{ ingestKey: [] }, { adminToken: [] }];
const ADMIN = [{ adminToken: [] }];

const messageId = z.object({ id: z.string().meta({ example: "msg_5c0e4f1a9d27b83e6610f4c2d900" }) });
const eventPath = z.object({ eventId: z.string().meta({ example: "evt_7Q2" }) });
const queueName = z.object({ name: z.enum(PRIORITIES) });

const EMPTY = "A parameter that is set to nothing counts as not given.";

export const PATHS: ZodOpenApiPathsObject = {
  "/v1/events": {
    post: {
      summary: "Post an event",
      description:
        "The event's id is the idempotency key: the same event again gets the same answer, and no second mail.",
      tags: ["events"],
      security: PRODUCER,
      requestBody: { required: true, content: { "application/json": { schema: event, example: EVENT_EXAMPLE } } },
      responses: {
        202: json("Durable, as far as `durability` says", replies.acceptedReply),
        ...refusals(400, 401, 413, 415, 422, 503),
      },
    },
  },
  "/v1/events/batch": {
    post: {
      summary: `Post up to ${MAX_BATCH_EVENTS} events`,
      description: "A JSON array, or one event per line. Each stands alone: a bad one stops no other.",
      tags: ["events"],
      security: PRODUCER,
      requestBody: {
        required: true,
        content: {
          "application/json": { schema: z.array(event).min(1).max(MAX_BATCH_EVENTS), example: [EVENT_EXAMPLE] },
          "application/x-ndjson": { schema: z.string(), example: `${JSON.stringify(EVENT_EXAMPLE)}\n` },
        },
      },
      responses: {
        202: json("One result per event, in order, with its own `status`", replies.batchReply),
        ...refusals(400, 401, 413, 415, 503),
      },
    },
  },
  "/v1/events/{eventId}/commit": {
    post: {
      summary: "Commit a held event",
      description: `Its mail is sent now, or after the delay that was asked for. Idempotent. ${signedAs("commit")}`,
      tags: ["events"],
      security: PRODUCER,
      requestParams: { path: eventPath },
      responses: {
        200: json("Committed now or before, or never held", replies.commitReply),
        202: json("Kept on the local disk until Redis is back", replies.commitReply),
        ...refusals(400, 401, 404, 409, 413, 415, 503),
      },
    },
  },
  "/v1/events/{eventId}/rollback": {
    post: {
      summary: "Roll an event back",
      description: `Wins over everything that no worker has taken, also when it comes before its event. ${signedAs("rollback")}`,
      tags: ["events"],
      security: PRODUCER,
      requestParams: { path: eventPath },
      responses: {
        200: json("The definitive answer", replies.rollbackReply),
        202: json("Kept on the local disk until Redis is back", replies.rollbackReply),
        ...refusals(400, 401, 413, 415, 503),
      },
    },
  },
  "/v1/webhooks/stripe": {
    post: {
      summary: "Post a signed event of Stripe's",
      description: STRIPE_ABOUT,
      tags: ["events"],
      security: [{ stripeSignature: [] }],
      requestBody: { required: true, content: { "application/json": { schema: stripeInput } } },
      responses: { 200: json("Taken, or ignored and why", stripeReply), ...refusals(400, 404, 413, 415, 503) },
    },
  },
  "/v1/events/{eventId}": {
    get: read("The message of an event", "messages", READER, replies.messageReply, [400, 404], {
      path: eventPath,
    }),
  },
  "/v1/messages": {
    get: {
      ...read("List messages", "messages", READER, replies.messagesReply, [400], { query: messagesQuery }),
      description: EMPTY,
    },
  },
  "/v1/messages/{id}": {
    get: read("A message", "messages", READER, replies.messageReply, [400, 404], { path: messageId }),
  },
  "/v1/dead": {
    get: {
      ...read("List dead letters", "dead letters", ADMIN, replies.deadReply, [400], { query: deadQuery }),
      description: EMPTY,
    },
  },
  "/v1/dead/replay": {
    post: {
      summary: "Replay many",
      description:
        "Takes at least one of `fingerprint`, `ids` and `all: true`. With `dryRun`, says what it would do, of all where none is given.",
      tags: ["dead letters"],
      security: ADMIN,
      requestBody: {
        required: true,
        content: { "application/json": { schema: bulkInput, example: { fingerprint: "3f1c0d9a77be", dryRun: true } } },
      },
      responses: {
        200: json("A dry run", replies.bulkReply),
        202: json("Replayed", replies.bulkReply),
        ...refusals(400, 401, 413, 415, 503),
      },
    },
  },
  "/v1/dead/{id}/replay": {
    post: {
      summary: "Replay one",
      tags: ["dead letters"],
      security: ADMIN,
      requestParams: { path: messageId },
      requestBody: { content: { "application/json": { schema: editInput, example: { recipient: "an@example.com" } } } },
      responses: {
        202: json("Queued again", replies.replayedReply),
        ...refusals(400, 401, 404, 409, 413, 415, 503),
      },
    },
  },
  "/v1/dead/{id}": {
    delete: {
      summary: "Drop one for good",
      tags: ["dead letters"],
      security: ADMIN,
      requestParams: { path: messageId },
      responses: { 204: { description: "Gone" }, ...refusals(400, 401, 404, 409, 503) },
    },
  },
  "/v1/queues": { get: read("Depths and counts", "queues", ADMIN, replies.queuesReply, []) },
  "/v1/queues/{name}/pause": { post: toggle("Pause a queue") },
  "/v1/queues/{name}/resume": { post: toggle("Resume a queue") },
  "/v1/live": {
    get: {
      summary: "Transitions as they happen",
      description:
        "Server-sent events named `transition`: all that comes after the 200, which has an `id` to begin with. A reconnect with `Last-Event-ID` goes on from there.",
      tags: ["queues"],
      security: ADMIN,
      requestParams: { header: z.object({ "Last-Event-ID": z.string().optional() }) },
      responses: {
        200: {
          description: "The `data` of each event",
          content: { "text/event-stream": { schema: replies.transitionData } },
        },
        ...refusals(400, 401),
      },
    },
  },
  "/healthz": { get: open("The process lives", "application/json", replies.statusReply) },
  "/readyz": { get: open("An event can be made durable", "application/json", replies.statusReply, 503) },
  "/metrics": { get: open("Prometheus text format", "text/plain", z.string()) },
};

function signedAs(decision: "commit" | "rollback"): string {
  return `A signed request has the \`webhook-id\` \`<eventId>/${decision}\` and an empty body; with an ingest key as bearer token a body is ignored.`;
}

function json(description: string, schema: z.ZodType): ZodOpenApiResponseObject {
  return { description, content: { "application/json": { schema } } };
}

function refusals(...statuses: Refusal[]): ZodOpenApiOperationObject["responses"] {
  const content = { [PROBLEM_TYPE]: { schema: replies.problemReply } };
  const entries = [...statuses, 421 as const].map((status) => [
    status,
    { description: REFUSALS[status], content, ...headersOf(status) },
  ]);
  return Object.fromEntries(entries);
}

function headersOf(status: Refusal): Pick<ZodOpenApiResponseObject, "headers"> {
  if (status === 401) return { headers: z.object({ "WWW-Authenticate": z.literal("Bearer") }) };
  if (status === 503) return { headers: z.object({ "Retry-After": z.string().meta({ description: "Seconds" }) }) };
  return {};
}

function read(
  summary: string,
  tag: string,
  security: typeof READER | typeof ADMIN,
  schema: z.ZodType,
  refused: Refusal[],
  requestParams: ZodOpenApiOperationObject["requestParams"] = {},
): ZodOpenApiOperationObject {
  return {
    summary,
    tags: [tag],
    security,
    requestParams,
    responses: { 200: json(summary, schema), ...refusals(401, 503, ...refused) },
  };
}

function toggle(summary: string): ZodOpenApiOperationObject {
  return {
    summary,
    tags: ["queues"],
    security: ADMIN,
    requestParams: { path: queueName },
    responses: { 200: json("As it is now", replies.pausedReply), ...refusals(400, 401, 404, 503) },
  };
}

function open(summary: string, type: string, schema: z.ZodType, ...refused: Refusal[]): ZodOpenApiOperationObject {
  const responses = { 200: { description: summary, content: { [type]: { schema } } }, ...refusals(...refused) };
  return { summary, tags: ["health"], responses };
}
