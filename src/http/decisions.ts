/*
 * POST /v1/events/:eventId/commit and /rollback: the producer's transaction has ended, one way or the other.
 * A signature covers its id and the body, not the path: what is signed here has `<eventId>/commit` or
 * `<eventId>/rollback` as its webhook-id and an empty body, so that a captured request decides nothing else, and the
 * captured post of an event whose id ends in /commit decides nothing at all.
 */
import type { Context, Hono } from "hono";
import { EVENT_ID } from "../domain/event.ts";
import type { Committed, Ingress, RolledBack } from "../domain/ingress.ts";
import { answer } from "./answer.ts";
import type { Auth } from "./auth.ts";
import { MAX_EVENT_BYTES, readPosted } from "./events.ts";
import { problem, refuse } from "./problem.ts";
import type { CommitReply, RollbackReply } from "./schemas.ts";

export function decisionRoutes(app: Hono, auth: Auth, ingress: Ingress): void {
  app.post("/v1/events/:eventId/commit", async (c) => {
    const eventId = c.req.param("eventId");
    return (await refusalOf(c, auth, "commit")) ?? committed(eventId, await ingress.commit(eventId));
  });
  app.post("/v1/events/:eventId/rollback", async (c) => {
    const eventId = c.req.param("eventId");
    return (await refusalOf(c, auth, "rollback")) ?? rolledBack(eventId, await ingress.rollback(eventId));
  });
}

async function refusalOf(c: Context, auth: Auth, decision: "commit" | "rollback"): Promise<Response | undefined> {
  const eventId = c.req.param("eventId") ?? "";
  if (!EVENT_ID.test(eventId)) {
    return refuse(problem("invalid-request", "An event id is 1 to 128 printable ASCII characters without spaces."));
  }
  const body = await readPosted(c, auth, MAX_EVENT_BYTES);
  if (!body.ok) return refuse(body.problem);
  const { headers } = c.req.raw;
  if (auth.isIngest(headers.get("authorization"))) return undefined;
  if (headers.get("webhook-id") === `${eventId}/${decision}` && body.value === "") return undefined;
  const detail = `What is signed for this route has the webhook-id <eventId>/${decision} and no body.`;
  return refuse(await auth.refusal(c, detail));
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
