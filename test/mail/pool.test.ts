/* A relay with fewer connections than we would open. */
import { afterEach, describe, expect, test } from "bun:test";
import { type Front, startFront } from "./crowded.ts";
import { MAIL } from "./fixtures.ts";
import { mailerTo, relayWith } from "./harness.ts";

const SENT = { kind: "sent", reply: "250 2.0.0 queued" } as const;
const LIMIT = 5;

const fronts: Front[] = [];
afterEach(async () => {
  await Promise.all(fronts.splice(0).map((front) => front.stop()));
});

async function crowded(refusal: string | undefined) {
  const relay = await relayWith();
  const front = await startFront(relay.port, LIMIT, refusal);
  fronts.push(front);
  return { relay, front };
}

describe.each([["421 4.7.0 too many connections"], [undefined]])("a relay that refuses the sixth (%p)", (refusal) => {
  test("is sent all mails over five connections, each once, and no mail fails", async () => {
    const { relay, front } = await crowded(refusal);
    const mailer = mailerTo(front.url, { maxConnections: 20 });
    const mails = Array.from({ length: 200 }, (_, i) => ({ ...MAIL, to: { address: `an${i}@example.com` } }));
    const startedAt = performance.now();
    expect(await Promise.all(mails.map((mail) => mailer.send(mail)))).toEqual(Array(200).fill(SENT));
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    expect(new Set(relay.received.map(({ envelope }) => envelope.to[0])).size).toBe(200);
    expect(relay.received).toHaveLength(200);
    expect(relay.mostOpen).toBe(LIMIT);
    // Each connection that we wanted at the start was refused once, and then no more were tried.
    expect(front.refused).toBeLessThanOrEqual(20 - LIMIT);
    await mailer.close();
  });

  test("is fine for a probe while idle connections use up the limit", async () => {
    const { relay, front } = await crowded(refusal);
    const mailer = mailerTo(front.url, { maxConnections: LIMIT });
    await Promise.all(Array.from({ length: 50 }, () => mailer.send(MAIL)));
    expect(relay.open).toBe(LIMIT);
    expect(await mailer.probe()).toBeUndefined();
    expect(front.refused).toBe(0);
    expect(await mailer.send(MAIL)).toEqual(SENT);
    await mailer.close();
  });
});

test("one more connection is tried after a while, also when nothing comes free", async () => {
  const relay = await relayWith({ greeting: ["ok", "421 4.7.0 too many"], dot: ["hang"] });
  const mailer = mailerTo(relay.url, { maxConnections: 2, retryMs: 50 });
  const stuck = mailer.send(MAIL);
  await relay.until(({ silent }) => silent === 1);
  expect(await mailer.send(MAIL)).toEqual(SENT);
  expect(relay.connections).toBe(3);
  mailer.abort();
  expect(await stuck).toMatchObject({ kind: "failed", failure: { kind: "ambiguous" } });
});

test("a probe that finds its idle connection dead asks on a new one", async () => {
  const relay = await relayWith({ rset: "drop" });
  const mailer = mailerTo(relay.url);
  await mailer.send(MAIL);
  expect(await mailer.probe()).toBeUndefined();
  expect(relay.connections).toBe(2);
});

test("a relay that refuses all at once is told as a fault to each", async () => {
  const relay = await relayWith({ greeting: "421 4.3.2 not now" });
  const mailer = mailerTo(relay.url, { maxConnections: 4 });
  const deliveries = await Promise.all(Array.from({ length: 8 }, () => mailer.send(MAIL)));
  expect(deliveries).toEqual(Array(8).fill({ kind: "relay_fault", reason: "421 4.3.2 not now" }));
});
