/* Stripe's events as they come, signed, through the service as its users start it, to the mail that the relay is given. */
import { expect, test } from "bun:test";
import { createHmac } from "node:crypto";
import { simpleParser } from "mailparser";
import { Webhook } from "standardwebhooks";
import { CHARGE, INTENT, SESSION, stripeEvent } from "../http/stripeEvents.ts";
import { cleanUpAfterEach } from "../support/cleanups.ts";
import type { TestService } from "../support/service.ts";
import { serviceOn, setUp } from "../support/surroundings.ts";
import { until } from "../support/until.ts";

const SECRET = "whsec_stripe_end_to_end";
const STRIPE = { STRIPE_WEBHOOK_SECRETS: `whsec_rolled_out,${SECRET}` };

const cleanups = cleanUpAfterEach();

async function send(
  service: TestService,
  event: object,
): Promise<{ id?: string; ignored?: string; duplicate?: boolean }> {
  const body = JSON.stringify(event);
  const at = Math.floor(Date.now() / 1_000);
  const v1 = createHmac("sha256", SECRET).update(`${at}.${body}`).digest("hex");
  const headers = { "stripe-signature": `t=${at},v1=${v1}`, "content-type": "application/json; charset=utf-8" };
  const response = await fetch(new URL("/v1/webhooks/stripe", service.url), { method: "POST", body, headers });
  expect(response.status).toBe(200);
  return (await response.json()) as { id?: string };
}

/** Of Checkout with manual capture: the session has all that is known, its capture nothing but an address and the money. */
const unpaid = (id: string, more: object = {}) =>
  stripeEvent("checkout.session.completed", SESSION, (o) =>
    Object.assign(o, { payment_intent: id, payment_status: "unpaid", ...more }),
  );
const bare = { metadata: {}, receipt_email: null, description: null };
const captured = (id: string) =>
  stripeEvent("charge.captured", CHARGE, (o) =>
    Object.assign(o, { ...bare, payment_intent: id, amount_captured: 300_000 }),
  );
const succeeded = (id: string) =>
  stripeEvent("payment_intent.succeeded", INTENT, (o) => Object.assign(o, { ...bare, id, amount_received: 300_000 }));

async function stateOf(service: TestService, eventId: string): Promise<string> {
  return ((await (await service.get(`/v1/events/${eventId}`)).json()) as { state: string }).state;
}

async function outcomesOf(service: TestService): Promise<Record<string, number>> {
  const text = await (await service.get("/metrics")).text();
  const found = [...text.matchAll(/^postpaid_stripe_events_total\{outcome="(\w+)"\} (\d+)$/gm)];
  return Object.fromEntries(
    found.flatMap(([, outcome = "", count]) => (count === "0" ? [] : [[outcome, Number(count)]])),
  );
}

test("a session that is captured later makes one mail, with what the session knew, whatever comes, and in whichever order", async () => {
  const on = await setUp(cleanups);
  const service = await serviceOn(cleanups, on, { ...STRIPE, DELAY_MS: "1000" });
  await send(service, unpaid("pi_1"));
  await send(service, captured("pi_1"));
  await send(service, captured("pi_2"));
  await send(service, unpaid("pi_2"));
  await send(service, unpaid("pi_3"));
  expect((await send(service, succeeded("pi_3"))).id).toBeString();
  expect((await send(service, succeeded("pi_4"))).ignored).toBe("it has no e-mail address");
  await send(service, captured("pi_4"));
  await send(service, unpaid("pi_4"));
  await on.relay.until(({ received }) => received.length === 4);
  for (const id of ["pi_1", "pi_2", "pi_3", "pi_4"]) {
    await until("it is settled", async () => (await stateOf(service, `stripe_${id}`)) === "sent");
    for (const again of [unpaid(id), captured(id), succeeded(id)])
      expect(await send(service, again)).toMatchObject({ duplicate: true });
  }
  expect(on.relay.received).toHaveLength(4);
  for (const { envelope, raw } of on.relay.received) {
    const mail = await simpleParser(raw);
    expect(envelope.to).toEqual(["an@example.com"]);
    for (const part of [mail.subject, mail.text, mail.html]) expect(part).toContain("BK-1042");
    expect(mail.text).toContain("300.000");
    expect(mail.text).toContain("Xin chào");
  }
});

test("what a session knew outlives kill -9 of service and Redis, and its capture a Redis that is away", async () => {
  const on = await setUp(cleanups);
  const first = await serviceOn(cleanups, on, STRIPE);
  await send(first, unpaid("pi_1"));
  await first.kill();
  await on.redis.kill();
  await on.redis.start();
  const second = await serviceOn(cleanups, on, STRIPE);
  await on.redis.kill();
  expect(await send(second, captured("pi_1"))).toMatchObject({ duplicate: false });
  expect(await send(second, unpaid("pi_2"))).toMatchObject({ ignored: "its payment_status is unpaid" });
  await second.kill();
  await on.redis.start();
  const third = await serviceOn(cleanups, on, STRIPE);
  await on.relay.until(({ received }) => received.length === 1);
  await send(third, succeeded("pi_2"));
  await on.relay.until(({ received }) => received.length === 2);
  for (const { raw } of on.relay.received) expect((await simpleParser(raw)).subject).toContain("BK-1042");
});

test("what Stripe's customers and tests bring makes the right mail, or none, and somebody is told", async () => {
  const on = await setUp(cleanups);
  const told: { type: string; data: Record<string, string> }[] = [];
  const receiver = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const text = await request.text();
      new Webhook(Buffer.from("an-alert-key"), { format: "raw" }).verify(text, Object.fromEntries(request.headers));
      told.push(JSON.parse(text));
      return new Response(null, { status: 204 });
    },
  });
  cleanups.push(() => receiver.stop(true));
  const env = { ...STRIPE, ALERT_URL: receiver.url.href, ALERT_KEY: "an-alert-key" };
  const service = await serviceOn(cleanups, on, env);
  const session = (id: string, more: object) =>
    stripeEvent("checkout.session.completed", SESSION, (o) => Object.assign(o, { payment_intent: id, ...more }));

  const metadata: Record<string, string> = {
    booking_id: "ĐH-1042",
    locale: "vi_VN",
    starts_at: "2026-12-01T21:30:00+0700",
  };
  for (let i = 3; i < 50; i++) metadata[`key_${i}`] = "ệ".repeat(500);
  await send(service, session("pi_large", { metadata }));
  await send(service, session("pi_dots", { customer_details: { email: "tran..an@docomo.ne.jp" }, metadata: {} }));
  await send(service, session("pi_puny", { customer_details: { email: "an@bücher.example" } }));
  await send(service, session("pi_free", { amount_total: 0, payment_status: "no_payment_required" }));
  const trial = { mode: "subscription", amount_total: 0, payment_status: "no_payment_required", payment_intent: null };
  await send(service, session("", trial));
  await send(service, { ...session("pi_test", {}), livemode: false });
  for (const id of ["pi_nobody", "pi_nobody_else"]) await send(service, succeeded(id));
  await send(service, session("pi_poorer", { metadata: { booking_id: "B-1", starts_at: "2026-02-30" } }));

  await on.relay.until(({ received }) => received.length === 5);
  const mails = new Map(
    await Promise.all(
      on.relay.received.map(async ({ envelope, raw }) => {
        const mail = await simpleParser(raw);
        return [/pi_\w+/.exec(mail.text ?? "")?.[0], { recipient: envelope.to[0], ...mail }] as const;
      }),
    ),
  );
  expect([...mails.keys()].sort()).toEqual(["pi_dots", "pi_free", "pi_large", "pi_poorer", "pi_puny"]);
  expect(mails.get("pi_large")?.subject).toContain("ĐH-1042");
  expect(mails.get("pi_large")?.text).toContain("21:30");
  expect(mails.get("pi_large")?.text).toContain("Xin chào");
  expect(mails.get("pi_dots")?.recipient).toBe('"tran..an"@docomo.ne.jp');
  expect(mails.get("pi_dots")?.subject).toContain("ref_1");
  expect(mails.get("pi_puny")?.recipient).toBe("an@xn--bcher-kva.example");
  for (const { subject } of mails.values()) expect(subject).not.toContain("pi_");

  expect(await outcomesOf(service)).toEqual({ accepted: 4, poorer: 1, trial: 1, test_event: 1, no_address: 2 });
  await until("both kinds were told of", () => told.length === 2);
  expect(told.map(({ type, data }) => [type, data["outcome"]]).sort()).toEqual([
    ["stripe_event.new_kind", "no_address"],
    ["stripe_event.new_kind", "poorer"],
  ]);
  await service.stop();
  const restarted = await serviceOn(cleanups, on, env);
  await send(restarted, succeeded("pi_nobody_at_all"));
  await send(
    restarted,
    stripeEvent("charge.succeeded", CHARGE, (o) => Object.assign(o, { amount: null, amount_captured: null })),
  );
  await until("the new kind was told of", () => told.length > 2);
  expect(told.map(({ data }) => data["outcome"]).slice(2)).toEqual(["no_amount"]);
});

test("test mode is mailed where it is wanted, and with the built-in catcher, and says that it is a test", async () => {
  const on = await setUp(cleanups);
  const testEvent = { ...stripeEvent("checkout.session.completed", SESSION), livemode: false };
  const sending = await serviceOn(cleanups, on, { ...STRIPE, STRIPE_TEST_EVENTS: "send" });
  await send(sending, testEvent);
  await on.relay.until(({ received }) => received.length === 1);
  expect((await simpleParser(on.relay.received[0]?.raw as Buffer)).subject).toStartWith("[THỬ NGHIỆM] ");
  await sending.stop();
  const { SMTP_URL: _, ...env } = on.env;
  const catching = await serviceOn(cleanups, { ...on, env }, STRIPE);
  const other = stripeEvent("checkout.session.completed", SESSION, (o) =>
    Object.assign(o, { payment_intent: "pi_2", locale: "en" }),
  );
  await send(catching, { ...other, livemode: false });
  const caught = await catching.line(({ msg, eventId }) => msg === "message sent" && eventId === "stripe_pi_2");
  expect(caught).toBeDefined();
});
