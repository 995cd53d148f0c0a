/* What became of an event: one message, or a page of them. */
import type { Context } from "hono";
import { z } from "zod";
import { attemptsOf, type Message, STATES, type State } from "../domain/lifecycle.ts";
import type { Messages } from "../stream/store.ts";
import { answer } from "./answer.ts";
import { cursorParameter, limitParameter } from "./input.ts";
import { bookingParameter, eventIdIn, recipientParameter } from "./lookup.ts";
import { problem, refuse } from "./problem.ts";
import { type Route, route } from "./route.ts";
import { type MessageReply, messageReply, messagesReply } from "./schemas.ts";

const messagesQuery = z.strictObject({
  state: z.enum(STATES, `must be one of: ${STATES.join(", ")}`).exactOptional(),
  booking: bookingParameter.exactOptional(),
  recipient: recipientParameter.exactOptional(),
  limit: limitParameter,
  cursor: cursorParameter,
});

export const messageId = z.object({ id: z.string().meta({ example: "msg_5c0e4f1a9d27b83e6610f4c2d900" }) });
const eventId = z.object({ eventId: z.string().meta({ example: "evt_7Q2" }) });

export function messageRoutes(messages: Messages): Route[] {
  const common = { method: "get", access: "reader", tag: "messages" } as const;
  return [
    route({
      ...common,
      path: "/v1/messages",
      name: "listMessages",
      summary: "List messages",
      about: "A parameter that is set to nothing counts as not given.",
      query: messagesQuery,
      answers: { 200: { about: "A page", schema: messagesReply } },
      refuses: [503],
      async handle(_, { query }) {
        const page = await messages.list(query);
        return answer({ items: page.items.map(replyOf), cursor: page.cursor ?? null });
      },
    }),
    route({
      ...common,
      path: "/v1/messages/:id",
      name: "getMessage",
      summary: "A message",
      params: messageId,
      answers: { 200: { about: "A message", schema: messageReply } },
      refuses: [400, 404, 503],
      async handle(c) {
        const id = idOf(c);
        return one(id === undefined ? undefined : await messages.byId(id));
      },
    }),
    route({
      ...common,
      path: "/v1/events/:eventId",
      name: "getEventMessage",
      summary: "The message of an event",
      params: eventId,
      answers: { 200: { about: "The message of an event", schema: messageReply } },
      refuses: [400, 404, 503],
      async handle(c) {
        const id = eventIdIn(c);
        return one(id === undefined ? undefined : await messages.byEvent(id));
      },
    }),
  ];
}

/** The message's id in the path; undefined for what cannot be one, so that no store has to look for it. */
export function idOf(c: Context): string | undefined {
  const id = c.req.param("id") ?? "";
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
