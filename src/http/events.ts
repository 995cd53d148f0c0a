/* POST /v1/events: the payment path. One event, one round trip of the ingress, nothing else that waits. */
import type { Event } from "../domain/event.ts";
import { EVENT_EXAMPLE } from "../domain/example.ts";
import type { Accepted, Ingress, Posted } from "../domain/ingress.ts";
import { parseEvent } from "../types/parse.ts";
import { answer } from "./answer.ts";
import { decodeJson, decodeText } from "./body.ts";
import { event } from "./eventSchema.ts";
import { type Problem, problem, refuse } from "./problem.ts";
import { type Route, route } from "./route.ts";
import { type AcceptedReply, acceptedReply } from "./schemas.ts";

export const MAX_EVENT_BYTES = 65_536;

export type Acceptance = { ok: true; reply: AcceptedReply } | { ok: false; problem: Problem };

export function eventRoutes(ingress: Ingress): Route[] {
  return [
    route({
      method: "post",
      path: "/v1/events",
      name: "postEvent",
      access: "producer",
      tag: "events",
      summary: "Post an event",
      about: "The event's id is the idempotency key: the same event again gets the same answer, and no second mail.",
      maxBytes: MAX_EVENT_BYTES,
      body: { schema: event, example: EVENT_EXAMPLE, required: true },
      answers: { 202: { about: "Durable, as far as `durability` says", schema: acceptedReply } },
      refuses: [422, 503],
      async handle(_, { bytes }) {
        const text = decodeText(bytes);
        if (!text.ok) return refuse(text.problem);
        const json = decodeJson(text.value);
        if (!json.ok) return refuse(json.problem);
        const acceptance = await accept(json.value, ingress);
        return acceptance.ok ? answer(acceptance.reply, 202) : refuse(acceptance.problem);
      },
    }),
  ];
}

/** Checks one decoded event and posts it. */
export async function accept(input: unknown, ingress: Ingress): Promise<Acceptance> {
  const parsed = parseEvent(input);
  if (!parsed.ok) {
    const count = parsed.problems.length;
    const detail = count === 1 ? "One field is wrong." : `${count} fields are wrong.`;
    return refused(problem("invalid-event", detail, parsed.problems));
  }
  const { event } = parsed;
  const posted = await ingress.post(event);
  if (posted.kind !== "accepted") return refused(refusalOf(posted));
  return { ok: true, reply: replyOf(event, posted) };
}

function replyOf({ id: eventId, notes }: Event, posted: Accepted): AcceptedReply {
  return {
    id: posted.messageId,
    eventId,
    state: posted.state,
    dueAt: new Date(posted.dueAt).toISOString(),
    duplicate: posted.duplicate,
    durability: posted.durability,
    ...(notes && { notes }),
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
