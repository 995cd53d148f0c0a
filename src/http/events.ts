/* POST /v1/events: the payment path. One event, one round trip of the ingress, nothing else that waits. */
import type { Context, Hono } from "hono";
import { parseEvent } from "../domain/event.ts";
import type { Accepted, Ingress, Posted } from "../domain/ingress.ts";
import { answer } from "./answer.ts";
import { type Auth, claimsSignature } from "./auth.ts";
import { decodeJson, decodeText, type Read, readBytes } from "./body.ts";
import { type Problem, problem, refuse } from "./problem.ts";
import type { AcceptedReply } from "./schemas.ts";

export const MAX_EVENT_BYTES = 65_536;

/** The checks, the scripts and the templates recurse: what they get is shallow. */
export const MAX_DEPTH = 32;

/** A body of 64 KiB has room for thousands of wrong fields; the answer has not. */
export const MAX_ERRORS = 50;

export type Acceptance = { ok: true; reply: AcceptedReply } | { ok: false; problem: Problem };

export function eventRoutes(app: Hono, auth: Auth, ingress: Ingress): void {
  app.post("/v1/events", async (c) => {
    const body = await readPosted(c, auth, MAX_EVENT_BYTES);
    if (!body.ok) return refuse(body.problem);
    const json = decodeJson(body.value);
    if (!json.ok) return refuse(json.problem);
    const acceptance = await accept(json.value, ingress);
    if (!acceptance.ok) return refuse(acceptance.problem);
    return answer(acceptance.reply, 202);
  });
}

/** The text of a body that a producer vouches for. */
export async function readPosted(c: Context, auth: Auth, maxBytes: number): Promise<Read<string>> {
  const body = await readVouched(c, auth, maxBytes);
  return body.ok ? decodeText(body.value) : body;
}

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

/** Checks one decoded event and posts it. */
export async function accept(input: unknown, ingress: Ingress): Promise<Acceptance> {
  if (isTooDeep(input)) {
    const detail = `is nested more than ${MAX_DEPTH} levels deep`;
    return refused(problem("invalid-event", "The event is nested too deep.", [{ pointer: "", detail }]));
  }
  const parsed = parseEvent(input);
  if (!parsed.ok) {
    const count = parsed.problems.length;
    const detail = count === 1 ? "One field is wrong." : `${count} fields are wrong.`;
    return refused(problem("invalid-event", detail, parsed.problems.slice(0, MAX_ERRORS)));
  }
  const { event } = parsed;
  const posted = await ingress.post(event);
  if (posted.kind !== "accepted") return refused(refusalOf(posted));
  return { ok: true, reply: replyOf(event.id, posted) };
}

export function isTooDeep(value: unknown, levels = MAX_DEPTH): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some((inner) => isTooDeep(inner, levels - 1));
}

function replyOf(eventId: string, posted: Accepted): AcceptedReply {
  return {
    id: posted.messageId,
    eventId,
    state: posted.state,
    dueAt: new Date(posted.dueAt).toISOString(),
    duplicate: posted.duplicate,
    durability: posted.durability,
  };
}

function refusalOf(posted: Exclude<Posted, Accepted>): Problem {
  switch (posted.kind) {
    case "conflict":
      return problem(
        "id-reused",
        `The first event with this id became ${posted.messageId}; this body differs from it.`,
      );
    case "full":
      return problem("backlog-full", `${posted.limit} messages wait already. Post the same event again later.`);
    case "unavailable":
      return problem("unavailable", `${posted.reason}. Posting the same event again is safe.`);
  }
}

function refused(document: Problem): Acceptance {
  return { ok: false, problem: document };
}
