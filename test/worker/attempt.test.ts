/* Each gate, each delivery and what becomes of it, over ports that the test holds. */
import { describe, expect, test } from "bun:test";
import type { BookingStatus } from "../../src/booking/store.ts";
import type { RetryPolicy } from "../../src/domain/outcome.ts";
import type { Delivery, Mail } from "../../src/mail/mailer.ts";
import type { Taken } from "../../src/stream/take.ts";
import { type AttemptDeps, attempt } from "../../src/worker/attempt.ts";
import { eventWith } from "../support/event.ts";

const POLICY: RetryPolicy = { maxRetries: 2, retryDelaysMs: [1_000, 2_000], onUnknown: "resend" };
const EVENT = eventWith("1042");
const TAKEN = { messageId: "msg_1", attempt: 1, attemptsBefore: 0, askedInVain: 0 } as Taken;
const SENT: Delivery = { kind: "sent", reply: "250 2.0.0 queued" };
const NOBODY_SAYS = "nobody can say whether it was rolled back: it is away";

interface Given {
  status?: BookingStatus;
  journal?: boolean | Error;
  journalChanged?: boolean;
  redis?: boolean | Error;
  delivery?: Delivery;
  /** The mail waits for a connection, and meanwhile this comes true. */
  meanwhile?: Given;
  blames?: boolean;
  rendered?: Error;
  taken?: Partial<Taken>;
  /** Else it names its booking. */
  namesNoBooking?: boolean;
}

/** What was asked, in order, and what was noted about relay and message. */
async function attempted(given: Given) {
  const asked: string[] = [];
  const noted: string[] = [];
  let now = given;
  const say = (name: string, answer: boolean | Error = false) => {
    asked.push(name);
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const store = {
    statusOf: async (id: string) => {
      asked.push(`store ${id}`);
      return now.status as BookingStatus;
    },
    close: async () => {},
  };
  const deps: AttemptDeps = {
    booking: { store: given.status && store, delaysMs: [10, 20], maxAsks: 3 },
    rollbacks: {
      isRolledBack: () => say("journal", now.journal),
      hasChangedSince: (at) => at === 7 && given.journalChanged === true,
    },
    wasRolledBack: async () => say("redis", now.redis),
    stopping: new AbortController().signal,
    log: { warn: (_: unknown, text?: string) => noted.push(String(text)) },
    render: () => {
      if (given.rendered !== undefined) throw given.rendered;
      return {} as Mail;
    },
    mailer: {
      async send<Objection>(_: Mail, objectionOf?: () => Promise<Objection | undefined>) {
        if (given.meanwhile !== undefined) {
          now = given.meanwhile;
          asked.push("waited");
          const because = await objectionOf?.();
          if (because !== undefined) return { kind: "withheld", because } as never;
        }
        asked.push("sent");
        return given.delivery ?? SENT;
      },
    },
    relay: { answered: () => noted.push("answered"), fault: (reason) => noted.push(`fault: ${reason}`) },
    suspects: {
      blames: () => noted.push("counted") > 0 && given.blames === true,
      clears: (messageId) => noted.push(`clears ${messageId}`),
    },
    policy: POLICY,
    random: () => 0,
  };
  const event = given.namesNoBooking ? { ...EVENT, data: { ...EVENT.data, booking: {} } } : EVENT;
  const settlement = await attempt({ ...TAKEN, ...given.taken }, 7, event, deps);
  return { settlement, asked, noted };
}

const AWAY = new Error("it is away");
const CANCELLED_JOURNAL = { kind: "cancelled", reason: "rolled back while Redis was away" } as const;
const CANCELLED_REDIS = { kind: "cancelled", reason: "rolled back before the mail was begun" } as const;
const STORE = "store BK-1042";

test("an event that names no booking is trusted where there is a store, and a line says so", async () => {
  const { noted } = await attempted({ status: { kind: "cancelled" }, namesNoBooking: true });
  expect(noted).toContain("event names no booking, so its booking store is not asked");
  expect((await attempted({ namesNoBooking: true })).noted.join()).not.toContain("no booking");
  expect((await attempted({ status: { kind: "paid" } })).noted.join()).not.toContain("no booking");
});

describe("the gates, in order, up to the first that is shut", () => {
  test.each([
    ["without a store the journal alone is asked", {}, ["journal", "sent"], { kind: "sent", reply: SENT.reply }],
    [
      "Redis too when the journal has changed since the take",
      { journalChanged: true },
      ["journal", "redis", "sent"],
      {},
    ],
    [
      "a store is not asked about an event that names no booking",
      { status: { kind: "cancelled" }, namesNoBooking: true },
      ["journal", "sent"],
      { kind: "sent" },
    ],
    [
      "nor is a rollback overlooked there",
      { status: { kind: "paid" }, namesNoBooking: true, journalChanged: true, redis: true },
      ["journal", "redis"],
      CANCELLED_REDIS,
    ],
    ["a rollback in the journal", { journal: true, journalChanged: true }, ["journal"], CANCELLED_JOURNAL],
    [
      "a rollback that has left the journal",
      { journalChanged: true, redis: true },
      ["journal", "redis"],
      CANCELLED_REDIS,
    ],
    [
      "a journal that cannot be read",
      { journal: AWAY },
      ["journal"],
      { kind: "postponed", counts: false, reason: NOBODY_SAYS },
    ],
    [
      "a Redis that cannot be asked",
      { journalChanged: true, redis: AWAY },
      ["journal", "redis"],
      { kind: "released", reason: NOBODY_SAYS },
    ],
    [
      "a store comes first, and both are asked after it",
      { status: { kind: "paid" } },
      [STORE, "journal", "redis", "sent"],
      {},
    ],
    [
      "a rollback that came meanwhile",
      { status: { kind: "paid" }, redis: true },
      [STORE, "journal", "redis"],
      CANCELLED_REDIS,
    ],
    [
      "a booking that is cancelled",
      { status: { kind: "cancelled" } },
      [STORE],
      { kind: "cancelled", reason: "the booking is cancelled" },
    ],
    [
      "a store that cannot say: its answer does not count",
      { status: { kind: "unavailable", reason: "db: refused" }, taken: { askedInVain: 9 } },
      [STORE],
      { kind: "postponed", delayMs: 10, counts: false, reason: "db: refused" },
    ],
    [
      "not paid yet, asked for the second time",
      { status: { kind: "pending" }, taken: { askedInVain: 1 } },
      [STORE],
      { kind: "postponed", delayMs: 20, counts: true, reason: "the booking is not paid" },
    ],
    [
      "not found, asked for the last time",
      { status: { kind: "not_found" }, taken: { askedInVain: 2 } },
      [STORE],
      { kind: "dead", how: "untried", reason: "the booking is not found, after the store was asked 3 times" },
    ],
    ["after a wait both are asked again", { meanwhile: {} }, ["journal", "waited", "journal", "redis", "sent"], {}],
    [
      "a rollback that came during the wait",
      { meanwhile: { redis: true } },
      ["journal", "waited", "journal", "redis"],
      CANCELLED_REDIS,
    ],
    [
      "a mail that cannot be made",
      { rendered: new Error("no template") },
      ["journal"],
      { kind: "dead", how: "untried" },
    ],
  ] as [string, Given, string[], object][])("%s", async (_, given, asked, settlement) => {
    const outcome = await attempted(given);
    expect(outcome.asked).toEqual(asked);
    expect(outcome.settlement).toMatchObject(settlement);
  });
});

describe("what a delivery shows, and what becomes of the message", () => {
  const busy: Delivery = { kind: "failed", failure: { kind: "transient", reason: "451 busy" } };
  const fault: Delivery = { kind: "relay_fault", reason: "421 closing" };
  const suspect: Delivery = { ...fault, suspect: true };
  test.each([
    ["sent", { delivery: SENT }, ["clears msg_1", "answered"], { kind: "sent", reply: SENT.reply }],
    ["refused for now", { delivery: busy }, ["clears msg_1", "answered"], { kind: "deferred", delayMs: 1_000 }],
    [
      "refused for now, at the third attempt since the replay",
      { delivery: busy, taken: { attempt: 9, attemptsBefore: 6 } },
      ["clears msg_1", "answered"],
      { kind: "dead", reason: "451 busy" },
    ],
    ["a fault of the relay's", { delivery: fault }, ["clears msg_1", "fault: 421 closing"], { kind: "released" }],
    ["one in the middle of a message", { delivery: suspect }, ["counted", "fault: 421 closing"], { kind: "released" }],
    ["once too often", { delivery: suspect, blames: true }, ["counted"], { kind: "deferred", reason: "421 closing" }],
    ["nothing was said to the relay", { meanwhile: { journal: true } }, [], CANCELLED_JOURNAL],
  ] as [string, Given, string[], object][])("%s", async (_, given, noted, settlement) => {
    const outcome = await attempted(given);
    expect(outcome.noted).toEqual(noted);
    expect(outcome.settlement).toMatchObject(settlement);
  });

  test("an event that cannot be read is dead, and nobody is asked", async () => {
    const settlement = await attempt(TAKEN, 0, undefined, {} as AttemptDeps);
    expect(settlement).toEqual({ kind: "dead", how: "untried", reason: "the stored event cannot be read" });
  });
});
