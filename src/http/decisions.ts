/*
 * POST /v1/events/:eventId/commit and /rollback: the producer's transaction has ended, one way or the other.
 * A signature covers its id and the body, not the path: what is signed here has `<eventId>/commit` or
 * `<eventId>/rollback` as its webhook-id and an empty body, so that a captured request decides nothing else, and the
 * captured post of an event whose id ends in /commit decides nothing at all.
 */
import type { Context } from "hono";
import { z } from "zod";
import { MAX_ID_LENGTH } from "../domain/door/identifier.ts";
import type { Committed, Ingress, RolledBack } from "../domain/ingress.ts";
import { answer } from "./answer.ts";
import type { Auth } from "./auth.ts";
import { decodeText, type Read } from "./body.ts";
import { MAX_EVENT_BYTES } from "./events.ts";
import { eventIdIn } from "./lookup.ts";
import { problem, refuse } from "./problem.ts";
import { type Route, route } from "./route.ts";
import { type CommitReply, commitReply, type RollbackReply, rollbackReply } from "./schemas.ts";

const params = z.object({ eventId: z.string().meta({ example: "evt_7Q2" }) });

export function decisionRoutes(auth: Auth, ingress: Ingress): Route[] {
  const common = { method: "post", access: "producer", tag: "events", params, maxBytes: MAX_EVENT_BYTES } as const;
  return [
    route({
      ...common,
      path: "/v1/events/:eventId/commit",
      name: "commitEvent",
      summary: "Commit a held event",
      about: `Its mail is sent now, or after the delay that was asked for. Idempotent. ${signedAs("commit")}`,
      answers: {
        200: { about: "Committed now or before, or never held", schema: commitReply },
        202: { about: KEPT, schema: commitReply },
      },
      refuses: [404, 409, 503],
      async handle(c, { bytes }) {
        const id = await decidedOf(c, bytes, auth, "commit");
        return id.ok ? committed(id.value, await ingress.commit(id.value)) : refuse(id.problem);
      },
    }),
    route({
      ...common,
      path: "/v1/events/:eventId/rollback",
      name: "rollbackEvent",
      summary: "Roll an event back",
      about: `Wins over everything that no worker has taken, also when it comes before its event. ${signedAs("rollback")}`,
      answers: {
        200: { about: "The definitive answer", schema: rollbackReply },
        202: { about: KEPT, schema: rollbackReply },
      },
      refuses: [503],
      async handle(c, { bytes }) {
        const id = await decidedOf(c, bytes, auth, "rollback");
        return id.ok ? rolledBack(id.value, await ingress.rollback(id.value)) : refuse(id.problem);
      },
    }),
  ];
}

const KEPT = "Kept on the local disk until Redis is back";

function signedAs(decision: "commit" | "rollback"): string {
  return `A signed request has the \`webhook-id\` \`<eventId>/${decision}\` (an id with blanks, or beyond ASCII, as encodeURIComponent writes it) and an empty body; with an ingest key as bearer token a body is ignored.`;
}

/** The id of the event that is decided; the producer vouches for the decision, too. */
async function decidedOf(
  c: Context,
  bytes: Uint8Array,
  auth: Auth,
  decision: "commit" | "rollback",
): Promise<Read<string>> {
  const eventId = eventIdIn(c);
  if (eventId === undefined) {
    const detail = `An event id is printable text of 1 to ${MAX_ID_LENGTH} characters, and not . or ..`;
    return { ok: false, problem: problem("invalid-request", detail) };
  }
  const body = decodeText(bytes);
  if (!body.ok) return body;
  const { headers } = c.req.raw;
  const isSigned = headers.get("webhook-id") === `${headerForm(eventId)}/${decision}` && body.value === "";
  if (isSigned || auth.isIngest(headers.get("authorization"))) return { ok: true, value: eventId };
  const detail = `What is signed for this route has the webhook-id <eventId>/${decision} (percent-encoded where the id has blanks or is not ASCII) and no body.`;
  return { ok: false, problem: await auth.refusal(c, detail) };
}

/** A header holds printable ASCII. Of each id one form counts. */
function headerForm(eventId: string): string {
  return /^[\x21-\x7e]+$/.test(eventId) ? eventId : encodeURIComponent(eventId);
}

function committed(eventId: string, decided: Committed): Response {
  switch (decided.kind) {
    case "committed": {
      const { messageId: id, state, dueAt } = decided;
      const reply: CommitReply = { id, eventId, result: "committed", state, dueAt: new Date(dueAt).toISOString() };
      return answer(reply);
    }
    case "journaled": {
      const reply: CommitReply = { id: decided.messageId, eventId, result: "journaled", durability: "journaled" };
      return answer(reply, 202);
    }
    case "cancelled":
      return refuse(
        problem(
          "rolled-back",
          `${decided.messageId} was rolled back or dropped, or its booking is cancelled: no further attempt begins.`,
        ),
      );
    case "not_found":
      return refuse(problem("not-found", "There is no event with this id, or it is no longer kept."));
    case "unavailable":
      return refuse(problem("unavailable", `${decided.reason}. The same request again is safe.`));
  }
}

function rolledBack(eventId: string, decided: RolledBack): Response {
  switch (decided.kind) {
    case "cancelled":
    case "in_flight":
    case "too_late": {
      const reply: RollbackReply = { id: decided.messageId, eventId, result: decided.kind, state: decided.state };
      return answer(reply);
    }
    case "journaled": {
      const reply: RollbackReply = { id: decided.messageId, eventId, result: "journaled", durability: "journaled" };
      return answer(reply, 202);
    }
    case "unavailable":
      return refuse(problem("unavailable", `${decided.reason}. The same request again is safe.`));
  }
}
