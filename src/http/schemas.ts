/* What the service answers, declared once: the handlers' return types and the OpenAPI document both come from here. */
import { z } from "zod";
import { EVENT_EXAMPLE } from "../domain/example.ts";
import { PRIORITIES, STATES } from "../domain/lifecycle.ts";
import { PROBLEM_KINDS, typeOf } from "./problem.ts";

const instant = z.iso
  .datetime()
  .meta({ description: "ISO 8601, UTC, with milliseconds", example: "2026-11-24T09:30:10.000Z" });
const messageId = z.string().meta({ example: "msg_5c0e4f1a9d27b83e6610f4c2d900" });
const eventId = z.string().meta({ example: "evt_7Q2" });
const state = z.enum(STATES).meta({ id: "State" });
const priority = z.enum(PRIORITIES).meta({ id: "Priority" });
const cursor = z
  .string()
  .nullable()
  .meta({ description: "Pass it on to get the next page, which may be empty; null where there is no more." });

const notes = z
  .array(z.object({ pointer: z.string().meta({ example: "/data/customer/locale" }), detail: z.string() }))
  .meta({
    description: "What was changed or left out, and what may be a mistake. The mail is sent all the same.",
    example: [{ pointer: "/data/customer/locale", detail: "read as vi-VN" }],
  });

const DURABILITIES = ["replicated", "fsynced", "written", "journaled", "volatile"] as const;

export const acceptedReply = z
  .object({
    id: messageId,
    eventId,
    state,
    dueAt: instant,
    duplicate: z.boolean().meta({ description: "The same event was accepted before, and has its id still." }),
    durability: z.enum(DURABILITIES).meta({
      description:
        "`replicated`: in Redis, and on MIN_REPLICAS replicas of it. `fsynced`: on the disk of this one Redis, which a failover may leave behind. `written`: in Redis's AOF, synced within a second. `journaled`: synced on the local disk, not in Redis yet, or on too few replicas. `volatile`: this Redis has no AOF, leaves its sync to the operating system, may evict keys, or could not be read.",
    }),
    notes: notes.optional(),
  })
  .meta({ id: "Accepted" });

const journaled = z.object({
  id: messageId,
  eventId,
  result: z.literal("journaled"),
  durability: z.literal("journaled"),
});

export const commitReply = z.union([
  z.object({ id: messageId, eventId, result: z.literal("committed"), state, dueAt: instant }),
  journaled,
]);

export const rollbackReply = z.union([
  z.object({
    id: messageId,
    eventId,
    result: z.enum(["cancelled", "in_flight", "too_late"]).meta({
      description:
        "`cancelled`: no mail has left, none will. `in_flight`: an attempt is under way, no other one follows. `too_late`: the mail has left, or may have.",
    }),
    state,
  }),
  journaled,
]);

export const problemReply = z
  .object({
    type: z.string().meta({ examples: PROBLEM_KINDS.map(typeOf) }),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string(),
    errors: z
      .array(
        z.union([
          z.object({ pointer: z.string().meta({ example: "/data/customer/email" }), detail: z.string() }),
          z.object({ parameter: z.string().meta({ example: "state" }), detail: z.string() }),
        ]),
      )
      .optional(),
  })
  .meta({ id: "Problem", description: "RFC 9457" });

export const batchReply = z.object({
  results: z
    .array(z.union([acceptedReply.extend({ status: z.literal(202) }), problemReply]))
    .meta({ description: "One per event, in order." }),
});

export const messageReply = z
  .object({
    id: messageId,
    eventId,
    type: z.string().meta({ example: EVENT_EXAMPLE.type }),
    state,
    priority,
    bookingId: z.string().meta({ example: "BK-1042", description: "Empty where the event has none." }),
    recipient: z.string().meta({ example: "an@example.com" }),
    dueAt: instant,
    attempts: z.array(
      z.object({
        n: z.int().min(1),
        at: instant,
        outcome: z
          .enum(["sent", "deferred", "dead", "unknown"])
          .optional()
          .meta({ description: "Missing while it is under way." }),
        reply: z.string().optional().meta({ example: "250 2.0.0 queued" }),
      }),
    ),
    timeline: z.array(z.object({ at: instant, state, attempt: z.int().optional(), reason: z.string() })),
    reason: z.string().optional().meta({ description: "Of a dead letter, or of one that is unknown and held: why." }),
    fingerprint: z.string().optional().meta({ description: "Dead letters with the same cause share it." }),
    deadAt: instant.optional(),
  })
  .meta({ id: "Message" });

export const messagesReply = z.object({ items: z.array(messageReply), cursor });

const letterReply = messageReply
  .extend({
    event: z
      .record(z.string(), z.unknown())
      .optional()
      .meta({ description: "As it was accepted, or edited; missing when what is stored cannot be read." }),
  })
  .meta({ id: "DeadLetter" });

export const deadReply = z.object({
  items: z.array(letterReply),
  groups: z.array(z.object({ fingerprint: z.string(), count: z.int() })),
  cursor,
});

export const replayedReply = z.object({ id: messageId, result: z.literal("replayed") });

export const bulkReply = z.object({
  dryRun: z.boolean(),
  matched: z.int().meta({ description: "Dead letters that the request named, up to its limit." }),
  replayed: z.int(),
  ids: z.array(messageId).meta({ description: "The dead letters that matched." }),
});

export const queuesReply = z.object({
  items: z.array(z.object({ name: priority, paused: z.boolean(), queued: z.int(), sending: z.int() })),
  states: z.object(
    Object.fromEntries(
      STATES.map((name) => [
        name,
        z.object({ now: z.int(), total: z.int().meta({ description: "How many ever entered it." }) }),
      ]),
    ),
  ),
});

export const pausedReply = z.object({ name: priority, paused: z.boolean() });

export const partitionsReply = z.object({
  partitions: z.int().meta({ description: "New events are spread over so many." }),
  items: z.array(
    z.object({
      number: z.int(),
      waiting: z.int().meta({ description: "Messages that are scheduled, deferred, queued or being sent." }),
      held: z.int(),
      dead: z.int(),
      draining: z.boolean().meta({ description: "New events do not come here any more." }),
    }),
  ),
});

export const transitionData = z
  .object({ at: instant, messageId, state, attempt: z.int().optional(), reason: z.string() })
  .meta({ id: "Transition" });

export const statusReply = z.object({ status: z.enum(["ok", "ready"]) });

export type AcceptedReply = z.infer<typeof acceptedReply>;
export type CommitReply = z.infer<typeof commitReply>;
export type RollbackReply = z.infer<typeof rollbackReply>;
export type MessageReply = z.infer<typeof messageReply>;
export type LetterReply = z.infer<typeof letterReply>;
export type BulkReply = z.infer<typeof bulkReply>;
export type TransitionData = z.infer<typeof transitionData>;
