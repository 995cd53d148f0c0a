/* The ports as this layer sees them, in memory. What Redis does with them has its own tests. */

import type { Hono } from "hono";
import pino from "pino";
import type { Event } from "../../src/domain/event.ts";
import { EVENT_EXAMPLE } from "../../src/domain/example.ts";
import type { Accepted, Committed, Posted, RolledBack } from "../../src/domain/ingress.ts";
import { type Message, STATES, type State } from "../../src/domain/lifecycle.ts";
import type { Notice } from "../../src/domain/notice.ts";
import { type AppDeps, createApp } from "../../src/http/app.ts";
import { createRefusals } from "../../src/http/refusals.ts";
import type { NewOutcome, StripeOutcome } from "../../src/http/stripeOutcome.ts";
import { RedisAway } from "../../src/stream/fault.ts";
import {
  BadCursor,
  type DeadQuery,
  type Edit,
  type MessageQuery,
  type Partitioning,
  type QueueDepth,
  type Transition,
} from "../../src/stream/store.ts";
import { understand } from "../../src/types/understand.ts";

export const INGEST_KEY = "ingest-key-one";
export const SECOND_KEY = "ingest-key-two";
/** whsec_ and the base64 of 24 bytes. */
export const WHSEC_KEY = `whsec_${Buffer.from("four-and-twenty-bytes-ok").toString("base64")}`;
const ADMIN_TOKEN = "admin-token";

export const NOW = Date.UTC(2026, 10, 24, 9, 30);

export const asIngest = { authorization: `Bearer ${INGEST_KEY}` };
export const asAdmin = { authorization: `Bearer ${ADMIN_TOKEN}` };

/** The example of the contract, with changes made in place by `change`. */
// biome-ignore lint/suspicious/noExplicitAny: tests break it in every way
export function event(change: (event: any) => void = () => {}) {
  const made = structuredClone(EVENT_EXAMPLE);
  change(made);
  return made;
}

export function message(fields: Partial<Message> = {}): Message {
  return {
    id: "msg_1",
    eventId: "evt_7Q2",
    type: "payment.completed",
    state: "sent",
    priority: "critical",
    bookingId: "BK-1042",
    recipient: "an@example.com",
    event: event(),
    dueAt: NOW + 10_000,
    attempt: 2,
    timeline: [
      { at: NOW, state: "scheduled" },
      { at: NOW + 10_000, state: "queued" },
      { at: NOW + 10_001, state: "sending", attempt: 1 },
      { at: NOW + 10_200, state: "deferred", attempt: 1, reason: "451 4.3.0 busy" },
      { at: NOW + 40_200, state: "queued" },
      { at: NOW + 40_201, state: "sending", attempt: 2 },
      { at: NOW + 40_400, state: "sent", attempt: 2, reason: "250 2.0.0 queued" },
    ],
    ...fields,
  };
}

export function deadMessage(id: string, fingerprint = "f00d"): Message {
  const reason = "550 5.1.1 no such user";
  return message({ id, state: "dead", death: { reason, fingerprint, deadAt: NOW + 50_000 } });
}

/** Redis cannot do it now. */
export function redisAway(): Error {
  return new RedisAway("connect ECONNREFUSED");
}

export interface Harness {
  app: Hono;
  deps: AppDeps;
  posted: Event[];
  /** What the next posts are answered with; by default they are accepted. */
  answer: (event: Event) => Posted | Promise<Posted>;
  commit: (eventId: string) => Committed;
  rollback: (eventId: string) => RolledBack;
  messages: Message[];
  asked: (MessageQuery | DeadQuery)[];
  replays: [string, Edit][];
  queues: QueueDepth[];
  partitions: Awaited<ReturnType<Partitioning["standing"]>>;
  followers: Set<(transition: Transition) => void>;
  logged: { level: number; msg: string; route?: string }[];
  /** What became of Stripe's events, and what of it people were told. */
  stripeOutcomes: StripeOutcome[];
  told: NewOutcome[];
}

export function accepted(event: Event, fields: object = {}): Posted {
  const dueAt = NOW + 10_000;
  const messageId = `msg_${event.id}`;
  return { kind: "accepted", messageId, state: "scheduled", dueAt, duplicate: false, durability: "fsynced", ...fields };
}

export function harness(overrides: Partial<AppDeps> = {}): Harness {
  const self: Omit<Harness, "app" | "deps"> = {
    posted: [],
    answer: accepted,
    commit: () => ({ kind: "committed", messageId: "msg_1", state: "queued", dueAt: 0 }),
    rollback: () => ({ kind: "cancelled", messageId: "msg_1", state: "cancelled" }),
    messages: [],
    asked: [],
    replays: [],
    queues: [{ name: "critical", paused: false, queued: 3, sending: 1 }],
    partitions: { partitions: 1, items: [{ number: 0, waiting: 3, held: 2, dead: 1, draining: false }] },
    followers: new Set(),
    logged: [],
    stripeOutcomes: [],
    told: [],
  };
  const notices = new Map<string, Notice[]>();
  const isDead = (found: Message) => found.death !== undefined;
  const byId = (id: string) => self.messages.find((found) => found.id === id);
  const silent = pino({ level: "silent" });
  const deps: AppDeps = {
    ingress: {
      async post(event) {
        self.posted.push(event);
        return self.answer(event);
      },
      async learn(notice) {
        const known = [...(notices.get(notice.eventId) ?? []), notice];
        notices.set(notice.eventId, known);
        const understood = understand(known);
        if (understood.kind !== "event") return understood;
        const { event } = understood;
        self.posted.push(event);
        const posted = await self.answer(event);
        if (posted.kind === "accepted") return { kind: "event", event, accepted: posted, amended: false };
        if (posted.kind !== "conflict") return posted;
        const again = accepted(event, { duplicate: true, messageId: posted.messageId }) as Accepted;
        return { kind: "event", event, accepted: again, amended: false };
      },
      commit: async (eventId) => self.commit(eventId),
      rollback: async (eventId) => self.rollback(eventId),
    },
    messages: {
      byId: async (id) => byId(id),
      byEvent: async (eventId) => self.messages.find((found) => found.eventId === eventId),
      async list(query) {
        self.asked.push(query);
        if (query.cursor === "forged") throw new BadCursor("forged");
        return page(self.messages, query);
      },
    },
    dead: {
      async list(query) {
        self.asked.push(query);
        return page(
          self.messages.filter(({ death }) => death && death.fingerprint === (query.fingerprint ?? death.fingerprint)),
          query,
        );
      },
      async groups() {
        const counts = Map.groupBy(self.messages.filter(isDead), ({ death }) => death?.fingerprint ?? "");
        return [...counts].map(([fingerprint, { length }]) => ({ fingerprint, count: length }));
      },
      async replay(id, edit) {
        const found = byId(id);
        if (found === undefined) return "not_found";
        if (!isDead(found)) return "not_dead";
        self.replays.push([id, edit]);
        delete found.death;
        return "replayed";
      },
      async drop(id) {
        const found = byId(id);
        if (found === undefined) return "not_found";
        if (!isDead(found)) return "not_dead";
        self.messages.splice(self.messages.indexOf(found), 1);
        return "dropped";
      },
    },
    queues: {
      depths: async () => self.queues,
      async counts() {
        return Object.fromEntries(STATES.map((state) => [state, { now: 1, total: 2 }])) as Record<
          State,
          { now: number; total: number }
        >;
      },
      pause: async (name) => pause(name, true),
      resume: async (name) => pause(name, false),
    },
    partitions: {
      standing: async () => self.partitions,
      async change(partitions) {
        self.partitions = { ...self.partitions, partitions };
        return self.partitions;
      },
    },
    feed: {
      follow(since, on, began) {
        self.followers.add(on);
        began?.(since ?? "4-0");
        if (since !== undefined) on({ id: `after ${since}`, at: NOW, messageId: "msg_1", state: "queued" });
        return () => self.followers.delete(on);
      },
    },
    ready: async () => undefined,
    stripeSecrets: [],
    sendsTestEvents: false,
    stripe: {
      count: (outcome) => self.stripeOutcomes.push(outcome),
      isNews: async (outcome) => !self.told.some((one) => one.outcome === outcome),
      alert: (news) => self.told.push(news),
    },
    refusals: createRefusals(silent, () => {}),
    ingestKeys: [INGEST_KEY, SECOND_KEY, WHSEC_KEY],
    adminToken: ADMIN_TOKEN,
    log: pino({ level: "debug" }, { write: (line: string) => self.logged.push(JSON.parse(line)) }),
    now: () => NOW,
    metrics: async () => "# TYPE postpaid_up gauge\npostpaid_up 1\n",
    ...overrides,
  };
  return Object.assign(self, { app: createApp(deps), deps });

  function pause(name: string, paused: boolean) {
    for (const queue of self.queues) if (queue.name === name) queue.paused = paused;
  }
}

/** The cursor is the position of the next item. */
function page(all: Message[], { cursor, limit }: { cursor?: string; limit: number }) {
  const end = Number(cursor ?? 0) + limit;
  const items = all.slice(end - limit, end);
  return end < all.length ? { items, cursor: String(end) } : { items };
}

export function post(app: Hono, path: string, body: unknown, headers: Record<string, string> = asIngest) {
  const raw = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  return app.request(path, { method: "POST", body: raw, headers });
}

/** The problem document, after a check that it is one. */
export async function problemOf(response: Response) {
  const document = (await response.json()) as {
    type: string;
    title: string;
    status: number;
    detail: string;
    errors?: { pointer?: string; parameter?: string; detail: string }[];
  };
  const type = response.headers.get("content-type");
  if (type !== "application/problem+json") throw new Error(`not a problem document: ${type}`);
  if (document.status !== response.status) throw new Error(`says ${document.status}, is ${response.status}`);
  if (!/^urn:postpaid:problem:[a-z-]+$/.test(document.type)) throw new Error(`type is ${document.type}`);
  if (document.title === "" || document.detail === "") throw new Error("says nothing");
  return document;
}
