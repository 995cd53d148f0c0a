import { describe, expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import type { Event } from "../../src/domain/event.ts";
import type { Posted } from "../../src/domain/ingress.ts";
import type { AppDeps } from "../../src/http/app.ts";
import { stripeReply } from "../../src/http/stripe.ts";
import { accepted, harness, NOW, post, problemOf, redisAway } from "./support.ts";

const PATH = "/v1/webhooks/stripe";
const SECRET = "whsec_0123456789";

function signed(body: string | Uint8Array) {
  const at = NOW / 1000;
  const v1 = createHmac("sha256", SECRET).update(`${at}.`).update(body).digest("hex");
  return { "stripe-signature": `t=${at},v1=${v1}` };
}

interface Line {
  level: number;
  msg: string;
  reason?: string;
}

function service(more: Partial<AppDeps> = {}) {
  const h = harness({ stripeSecrets: [SECRET], ...more });
  const send = (body: unknown) => {
    const raw = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
    return post(h.app, PATH, raw, signed(raw));
  };
  return Object.assign(h, { send, lines: h.logged as Line[] });
}

/** Answers as the store does: the first event of an id is kept, by what is in it. */
function remember(h: ReturnType<typeof service>): Event[] {
  const kept: Event[] = [];
  h.answer = (event): Posted => {
    const first = kept.find(({ id }) => id === event.id);
    if (first === undefined) kept.push(event);
    if (first === undefined || Bun.deepEquals(first, event)) return accepted(event, { duplicate: first !== undefined });
    return { kind: "conflict", messageId: `msg_${event.id}` };
  };
  return kept;
}

let made = 0;

function stripeEvent(type: string, object: object, livemode = true) {
  return { id: `evt_${++made}`, object: "event", type, created: NOW / 1000, livemode, data: { object } };
}

const money = { amount: 45000, amount_received: 45000, amount_total: 45000, currency: "usd" };
const session = {
  ...money,
  id: "cs_1",
  payment_intent: "pi_1",
  payment_status: "paid",
  customer_details: { email: "an@example.com", name: "An" },
  locale: "vi",
  metadata: { booking_id: "BK-1042", booking_title: "Sleeper bus" },
};
const intent = { ...money, id: "pi_1", receipt_email: "an@example.com", metadata: {}, latest_charge: "ch_1" };
const charge = { ...money, id: "ch_1", payment_intent: "pi_1", billing_details: { email: "an@example.com" } };

const completed = () => stripeEvent("checkout.session.completed", session);

describe("an event of Stripe's", () => {
  test("is posted, and answered with the message that is owed", async () => {
    const h = service();
    const sent = completed();
    const response = await h.send(sent);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ received: true, id: "msg_stripe_pi_1", duplicate: false });
    expect(h.posted).toHaveLength(1);
    expect(h.posted[0]).toMatchObject({
      id: "stripe_pi_1",
      type: "payment.completed",
      data: { booking: { id: "BK-1042" }, customer: { email: "an@example.com", locale: "vi" } },
    });
    expect(h.logged).toEqual([
      expect.objectContaining({
        msg: "stripe event accepted",
        stripeEventId: sent.id,
        stripeType: "checkout.session.completed",
        livemode: true,
        eventId: "stripe_pi_1",
        messageId: "msg_stripe_pi_1",
        duplicate: false,
        notes: [],
        outcome: "accepted",
      }),
    ]);
  });

  test("makes no mail in test mode, unless such events are to be sent, and then it says that it is one", async () => {
    const h = service();
    const response = await h.send(stripeEvent("checkout.session.completed", session, false));
    expect(await response.json()).toEqual({ received: true, ignored: expect.stringContaining("test mode") as never });
    expect(h.posted).toEqual([]);
    expect(h.lines).toMatchObject([{ level: 30, livemode: false, outcome: "test_event" }]);
    const sending = service({ sendsTestEvents: true });
    await sending.send(stripeEvent("checkout.session.completed", session, false));
    await sending.send(stripeEvent("checkout.session.completed", { ...session, payment_intent: "pi_2" }));
    expect(sending.posted.map(({ data }) => data.payment?.["livemode"])).toEqual([false, undefined]);
    expect(sending.stripeOutcomes).toEqual(["accepted", "accepted"]);
  });

  test("of 75 KB, as its metadata allow, is taken, as UTF-8 and in escapes", async () => {
    const h = service();
    const metadata: Record<string, string> = { booking_id: "ĐH-1042" };
    for (let i = 1; i < 50; i++) metadata[`key_${i}`] = "ệ".repeat(500);
    const body = JSON.stringify(stripeEvent("checkout.session.completed", { ...session, metadata }));
    const escaped = body.replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
    expect([Buffer.byteLength(body) > 70_000, escaped.length > 140_000]).toEqual([true, true]);
    for (const one of [body, escaped]) expect((await h.send(one)).status).toBe(200);
    expect(h.posted.map(({ data }) => data.booking)).toEqual([{ id: "ĐH-1042" }, { id: "ĐH-1042" }]);
  });

  test("whose mail lacks something is a warning, and told of once", async () => {
    const h = service();
    for (const id of ["pi_1", "pi_2"]) {
      const metadata = { booking_id: "x".repeat(201), starts_at: "tomorrow", booking_title: "Sleeper\nbus" };
      await h.send(stripeEvent("checkout.session.completed", { ...session, payment_intent: id, metadata }));
    }
    expect(h.stripeOutcomes).toEqual(["poorer", "poorer"]);
    const notes = ["/data/booking/id left out", "/data/booking/title cleaned", "/data/booking/startsAt left out"];
    expect(h.lines).toMatchObject([
      { level: 40, msg: "stripe event accepted", notes },
      { level: 40, msg: "stripe event accepted", notes },
    ]);
    expect(h.told).toMatchObject([
      { outcome: "poorer", reason: notes.join(", "), eventId: "stripe_pi_1", stripeType: "checkout.session.completed" },
    ]);
  });

  test("names nobody in the log", async () => {
    const h = service();
    await h.send(completed());
    await h.send(stripeEvent("charge.succeeded", { ...charge, billing_details: { email: "an@@example.com" } }));
    for (const personal of ["example.com", "Sleeper", "BK-1042"])
      expect(JSON.stringify(h.logged)).not.toContain(personal);
  });

  test("that is sent again is a duplicate", async () => {
    const h = service();
    const kept = remember(h);
    const sent = completed();
    expect(await (await h.send(sent)).json()).toMatchObject({ duplicate: false });
    expect(await (await h.send(sent)).json()).toEqual({ received: true, id: "msg_stripe_pi_1", duplicate: true });
    expect(kept).toHaveLength(1);
  });

  test.each([
    ["session, intent, charge", [0, 1, 2]],
    ["charge, session, intent", [2, 0, 1]],
    ["intent, charge, session", [1, 2, 0]],
  ])("makes one mail with the others of its payment, as the first one tells it: %s", async (_, order) => {
    const h = service();
    const kept = remember(h);
    const all = [completed(), stripeEvent("payment_intent.succeeded", intent), stripeEvent("charge.succeeded", charge)];
    const replies = [];
    for (const i of order) {
      const response = await h.send(all[i]);
      expect(response.status).toBe(200);
      replies.push(await response.json());
    }
    expect(replies).toEqual(
      [false, true, true].map((duplicate) => ({ received: true, id: "msg_stripe_pi_1", duplicate })),
    );
    expect(kept).toHaveLength(1);
    expect(kept[0]?.data.booking.id).toBe(order[0] === 0 ? "BK-1042" : undefined);
  });

  test("of another payment is another mail", async () => {
    const h = service();
    const kept = remember(h);
    await h.send(completed());
    await h.send(stripeEvent("checkout.session.completed", { ...session, id: "cs_2", payment_intent: "pi_2" }));
    expect(kept.map(({ id }) => id)).toEqual(["stripe_pi_1", "stripe_pi_2"]);
  });

  test("has the address of its authorized charge, where the intent of today's API versions has none", async () => {
    const h = service();
    const authorized = stripeEvent("charge.succeeded", { ...charge, captured: false });
    expect(await (await h.send(authorized)).json()).toMatchObject({ ignored: expect.stringContaining("not captured") });
    const bare = { ...intent, receipt_email: null, customer: "cus_1", metadata: { booking_id: "BK-1042" } };
    await h.send(stripeEvent("payment_intent.succeeded", bare));
    expect(h.posted[0]?.data).toMatchObject({ booking: { id: "BK-1042" }, customer: { email: "an@example.com" } });
    expect(h.stripeOutcomes).toEqual(["unpaid", "accepted"]);
    expect(h.told).toEqual([]);
  });

  test("waits for the money of a slow method", async () => {
    const h = service();
    const unpaid = await h.send(stripeEvent("checkout.session.completed", { ...session, payment_status: "unpaid" }));
    expect(await unpaid.json()).toEqual({ received: true, ignored: "its payment_status is unpaid" });
    expect(h.posted).toEqual([]);
    await h.send(stripeEvent("checkout.session.async_payment_succeeded", session));
    expect(h.posted).toHaveLength(1);
  });
});

describe("what makes no mail", () => {
  test.each([
    ["other_type", stripeEvent("invoice.paid", session), 30],
    ["no_address", stripeEvent("payment_intent.succeeded", { ...intent, receipt_email: null }), 40],
    ["bad_address", stripeEvent("payment_intent.succeeded", { ...intent, receipt_email: "an" }), 40],
    ["no_amount", stripeEvent("payment_intent.succeeded", { ...intent, amount_received: null }), 40],
    ["unreadable", stripeEvent("payment_intent.succeeded", []), 40],
    ["trial", stripeEvent("checkout.session.completed", { ...session, mode: "setup" }), 30],
    ["unpaid", stripeEvent("charge.succeeded", { ...charge, captured: false }), 30],
    ["no_event", [], 30],
    ["no_event", "null", 30],
  ] as const)("is answered with 200, counted, and a line in the log: %s %#", async (outcome, body, level) => {
    const h = service();
    const response = await h.send(body);
    expect(response.status).toBe(200);
    const reply = (await response.json()) as { received: boolean; ignored: string };
    expect(reply).toEqual({ received: true, ignored: expect.any(String) as never });
    expect(h.posted).toEqual([]);
    const line = { level, msg: "stripe event ignored", reason: reply.ignored, outcome };
    expect(h.lines).toEqual([expect.objectContaining(line)]);
    expect(h.stripeOutcomes).toEqual([outcome]);
    expect(h.told.map((one) => [one.outcome, one.reason])).toEqual(level === 40 ? [[outcome, reply.ignored]] : []);
  });

  test("is described by the reply's schema, as what makes one is", async () => {
    const h = service();
    for (const body of [completed(), stripeEvent("invoice.paid", {})]) {
      expect(stripeReply.safeParse(await (await h.send(body)).json()).success).toBe(true);
    }
  });
});

describe("a body", () => {
  test.each([
    ["broken UTF-8", new Uint8Array(Buffer.from('{"id":"\xff"}', "latin1"))],
    ["half a document", '{"id":'],
    ["nothing", ""],
    ["brackets", "[".repeat(60_000)],
  ])("that is signed and cannot be read is refused with 400: %s", async (_, body) => {
    const h = service();
    const response = await h.send(body);
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:invalid-request" });
    expect([h.posted, h.logged]).toEqual([[], []]);
  });

  test("of 1 MiB is taken, one byte more is 413", async () => {
    const h = service();
    const body = JSON.stringify(completed());
    expect((await h.send(body.padEnd(1_048_576))).status).toBe(200);
    const response = await h.send(body.padEnd(1_048_577));
    expect(response.status).toBe(413);
    expect(await problemOf(response)).toMatchObject({ type: "urn:postpaid:problem:too-large" });
    expect(h.posted).toHaveLength(1);
  });

  test("with __proto__ in it changes nothing", async () => {
    const h = service();
    const body = JSON.stringify(completed()).replace(
      '"metadata":{',
      '"__proto__":{"x":1},"metadata":{"__proto__":{"y":1},',
    );
    expect((await h.send(body)).status).toBe(200);
    expect(h.posted[0]?.data.booking).toEqual({ id: "BK-1042", title: "Sleeper bus" });
    expect([({} as { x?: number }).x, ({} as { y?: number }).y]).toEqual([undefined, undefined]);
  });
});

test("what cannot be stored is a 503 with Retry-After, so that Stripe sends it again", async () => {
  const cases = [
    [() => ({ kind: "full", limit: 1000 }) as const, "backlog-full"],
    [() => ({ kind: "unavailable", reason: "MISCONF" }) as const, "unavailable"],
    [() => Promise.reject(redisAway()), "unavailable"],
  ] as const;
  for (const [answer, kind] of cases) {
    const h = service();
    h.answer = answer;
    const response = await h.send(completed());
    expect(response.status).toBe(503);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await problemOf(response)).toMatchObject({ type: `urn:postpaid:problem:${kind}` });
    expect(h.logged).toEqual([]);
  }
});
