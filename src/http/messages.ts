/* What became of an event: one message, or a page of them. */
import type { Context, Hono } from "hono";
import { z } from "zod";
import { attemptsOf, type Message, STATES, type State } from "../domain/lifecycle.ts";
import type { Messages } from "../stream/store.ts";
import { answer } from "./answer.ts";
import { type Auth, requireReader } from "./auth.ts";
import { cursorParameter, limitParameter, readQuery, textParameter } from "./input.ts";
import { problem, refuse } from "./problem.ts";
import type { MessageReply } from "./schemas.ts";

export const messagesQuery = z.strictObject({
  state: z.enum(STATES, `must be one of: ${STATES.join(", ")}`).exactOptional(),
  booking: textParameter(128).exactOptional(),
  recipient: textParameter(254).exactOptional(),
  limit: limitParameter,
  cursor: cursorParameter,
});

export function messageRoutes(app: Hono, auth: Auth, messages: Messages): void {
  const reader = requireReader(auth);

  app.get("/v1/messages", reader, async (c) => {
    const query = readQuery(c, messagesQuery);
    if (!query.ok) return refuse(query.problem);
    const page = await messages.list(query.value);
    return answer({ items: page.items.map(replyOf), cursor: page.cursor ?? null });
  });

  app.get("/v1/messages/:id", reader, async (c) => {
    const id = idOf(c, "id");
    return one(id === undefined ? undefined : await messages.byId(id));
  });

  app.get("/v1/events/:eventId", reader, async (c) => {
    const eventId = idOf(c, "eventId");
    return one(eventId === undefined ? undefined : await messages.byEvent(eventId));
  });
}

/** The id in the path; undefined for what cannot be one, so that no store has to look for it. */
export function idOf(c: Context, name: string): string | undefined {
  const id = c.req.param(name) ?? "";
  return /^[\x21-\x7e]{1,128}$/.test(id) ? id : undefined;
}

function one(message: Message | undefined): Response {
  return message === undefined ? refuse(problem("not-found", "There is no such message.")) : answer(replyOf(message));
}

export function replyOf(message: Message): MessageReply {
  const { id, eventId, type, state, priority, bookingId, recipient, death } = message;
  return {
    id,
    eventId,
    type,
    state,
    priority,
    bookingId,
    recipient,
    dueAt: iso(message.dueAt),
    attempts: attemptsOf(message.timeline).map((attempt) => ({ ...attempt, at: iso(attempt.at) })),
    timeline: message.timeline.map((line) => ({ ...line, at: iso(line.at), reason: reasonOf(line) })),
    ...(death && { reason: death.reason, fingerprint: death.fingerprint, deadAt: iso(death.deadAt) }),
  };
}

/** Of the two arrows that have one reason only, it is not kept in Redis. */
export function reasonOf({ state, reason }: { state: State; reason?: string | undefined }): string {
  return reason ?? (state === "queued" ? "due" : state === "sending" ? "taken" : "");
}

export function iso(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
